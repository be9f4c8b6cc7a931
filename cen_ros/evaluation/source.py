# SPDX-License-Identifier: Apache-2.0
"""What a bag holds for a network: frames and their truth, paired as the live node would, decoded ahead of their use.

Axes: H height, W width.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cen_model.label_groups import LabelGroups
from cen_ros.bags.reader import Bag, BagMessage
from cen_ros.bags.topics import Streams
from cen_ros.evaluation.pairing import Pairing
from cen_ros.evaluation.truth_folder import TruthFolder
from cen_ros.messages.images import label_to_array, rgbd_arrays
from cen_ros.segmentation.sync import StampSynchronizer, stamp_ns

AHEAD = 4
"""Events that are read and decoded while the network works."""


@dataclass(frozen=True)
class Frame:
    """A pair of images that the network can take."""

    header: Any
    """The color image's."""
    stamp_ns: int
    receive_ns: int
    rgb: np.ndarray
    """uint8 (H, W, 3)"""
    depth: np.ndarray
    """uint16 mm or float32 m (H, W)"""


@dataclass(frozen=True)
class Truth:
    """True labels of the color image with this stamp."""

    stamp_ns: int
    labels: np.ndarray
    """uint8 (H, W), 255 = unlabeled"""

    def __str__(self) -> str:
        return f"the truth of stamp {self.stamp_ns / 1e9:.9f}"

    def of(self, groups: LabelGroups) -> Truth:
        """Return the truth by group. Raises ValueError where a label is no class that the groups are of."""
        return replace(self, labels=groups.relabeled(self.labels, str(self)))


@dataclass(frozen=True)
class PairingConfig:
    """How images are paired.

    Attributes:
        slop_ns: largest difference of two stamps, ns.
        offset_ns: added to depth's stamps before, ns.
        every: of how many pairs one is taken.
    """

    slop_ns: int
    offset_ns: int = 0
    every: int = 1


class Source:
    """Reads a bag once; `pairing` and `damage` tell afterwards how it went.

    Args:
        path: the bag.
        streams: its topics.
        config: how images are paired.
        truth: where true labels are, if not in the bag.
    """

    def __init__(self, path: Path, streams: Streams, config: PairingConfig, truth: TruthFolder | None = None):
        self.pairing = Pairing()
        self.damage: str | None = None
        self._path, self._streams, self._config, self._folder = path, streams, config, truth
        self._pairs = StampSynchronizer(config.slop_ns, self.pairing.late.append)
        # Of color images, paired with depth or not, and truth:
        self._truths = StampSynchronizer(config.slop_ns, self.pairing.truth_late.append)
        # The last file of the folder that has come, and after how many resets of time.
        self._announced, self._lap = 0, -1

    def events(self, everything: bool = False) -> Iterator[Frame | Truth | BagMessage]:
        """Frames and truth as their last image comes; with `everything` also each message of the bag, before them."""
        streams = self._streams
        take = {streams.depth: self._take_depth, streams.rgb: self._take_rgb}
        if streams.truth is not None:
            take[streams.truth] = self._take_truth
        with Bag(self._path) as bag:
            for message in bag.messages(list(bag.topics) if everything else list(take)):
                if everything:
                    yield message
                if message.topic in take:
                    yield from take[message.topic](message)
            if self.pairing.rgb:
                yield from self._announce_files(max(self.pairing.rgb) + self._config.slop_ns)
            self.damage = bag.damage

    def _take_rgb(self, message: BagMessage) -> Iterator[Frame | Truth]:
        stamp = stamp_ns(message.message.header)
        self.pairing.rgb.append(stamp)
        yield from self._truth_of(self._truths.add(0, stamp, stamp))
        yield from self._announce_files(stamp)
        yield from self._frame_of(self._pairs.add(0, stamp, (stamp, message), len(message.raw)))

    def _take_depth(self, message: BagMessage) -> Iterator[Frame]:
        stamp = stamp_ns(message.message.header)
        self.pairing.depth.append(stamp)
        pair = self._pairs.add(1, stamp + self._config.offset_ns, (stamp, message), len(message.raw))
        yield from self._frame_of(pair)

    def _take_truth(self, message: BagMessage) -> Iterator[Truth]:
        self.pairing.truth += 1
        stamp = stamp_ns(message.message.header)
        yield from self._truth_of(self._truths.add(1, stamp, (stamp, message.message), len(message.raw)))

    def _announce_files(self, last_ns: int) -> Iterator[Truth]:
        """Let files of the truth folder come like messages: each after the color images up to its stamp."""
        if self._folder is None:
            return
        if self._lap != self._pairs.resets:
            self._lap = self._pairs.resets
            self._announced = last_ns - self._config.slop_ns - 1
        for stamp in self._folder.between(self._announced + 1, last_ns):
            self._announced = stamp
            self.pairing.truth += 1
            yield from self._truth_of(self._truths.add(1, stamp, (stamp, None)))

    def _frame_of(self, pair: tuple | None) -> Iterator[Frame]:
        if pair is None:
            return
        (stamp, rgb), (depth_stamp, depth) = pair
        self.pairing.differences.append(depth_stamp - stamp)
        if (len(self.pairing.differences) - 1) % self._config.every:
            self.pairing.skipped += 1
            return
        try:
            arrays = rgbd_arrays(rgb.message, depth.message, (rgb.topic, depth.topic))
        except ValueError as error:
            self.pairing.malformed += 1
            self.pairing.refuse(error, stamp)
            return
        yield Frame(rgb.message.header, stamp, rgb.receive_ns, *arrays)

    def _truth_of(self, pair: tuple | None) -> Iterator[Truth]:
        if pair is None:
            return
        stamp, (own_stamp, message) = pair
        try:
            labels = self._folder.read(own_stamp) if message is None else self._labels(message)
        except ValueError as error:
            self.pairing.truth_malformed += 1
            self.pairing.refuse(error, own_stamp)
            return
        self.pairing.truth_differences.append(own_stamp - stamp)
        self.pairing.truth_exact += own_stamp == stamp
        self.pairing.truth_near += own_stamp != stamp
        yield Truth(stamp, labels)

    def _labels(self, message: Any) -> np.ndarray:
        try:
            return label_to_array(message)
        except ValueError as error:
            raise ValueError(f"{self._streams.truth}: {error}") from error


def prefetched(rest: Generator) -> Iterator:
    """The same events, each computed in one other thread up to `AHEAD` before it is asked for."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(next, rest, end) for _ in range(AHEAD))
        try:
            while (event := waiting.popleft().result()) is not end:
                waiting.append(thread.submit(next, rest, end))
                yield event
        finally:
            for future in waiting:
                future.cancel()
            thread.submit(rest.close)  # a bag is closed by the thread that opened it
