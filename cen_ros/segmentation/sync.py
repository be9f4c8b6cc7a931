# SPDX-License-Identifier: Apache-2.0
"""Pairing of two streams by time stamp. Pure Python: it knows neither ROS nor images."""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable
from typing import Any

from cen_ros.segmentation.waiting import LONGEST_NS, MOST_BYTES, Waiting, nearest


def stamp_ns(header: Any) -> int:
    """The stamp of a std_msgs/Header in nanoseconds."""
    return header.stamp.sec * 10**9 + header.stamp.nanosec


class StampSynchronizer:
    """Pairs messages of two streams (0 and 1) that are each other's nearest in time, at most `slop_ns` apart.

    A pair leaves as soon as it is known that no message still to come could be nearer, judged by the shortest recent
    interval of each stream. So a message whose partner was dropped waits for the next one and stays alone, instead of
    taking its predecessor's partner and shifting every later pair. Equal stamps leave at once. A pair discards all that
    is older: the newest wins, and stamps of returned pairs never decrease in either stream, until time is set back.

    Time is set back where both streams have gone back, by three messages in a row, or by one that is older than any
    message that waits. One late message is not enough, nor is one stream.

    Not thread-safe.

    Args:
        slop_ns: largest difference of the two stamps, nanoseconds.
        late: told of each message whose partner was gone before it came: how many nanoseconds newer the other stream
            was by then, negative where the message is of stream 0.
        longest_ns: how long a message waits, by the stamps of its stream.
        most_bytes: what the waiting messages of each stream take; the oldest go first.
    """

    def __init__(
        self,
        slop_ns: int,
        late: Callable[[int], object] = lambda delay_ns: None,
        longest_ns: int = LONGEST_NS,
        most_bytes: int = MOST_BYTES,
    ):
        self.slop_ns = slop_ns
        self.unpaired = 0  # messages of stream 0 that were given up; whoever counts them may set it back
        self.resets = 0  # how often time was set back
        self._near = False  # whether any two waiting stamps may be within slop_ns: else there is nothing to look for
        self._late, self._bounds = late, (longest_ns, most_bytes)
        self._streams = (_Stream(*self._bounds), _Stream(*self._bounds))
        self.smallest_difference_ns: int | None = None  # of two stamps, one of each stream, since the last pair

    def clear(self) -> None:
        """Forget every message and everything known about the streams."""
        self.unpaired += len(self._streams[0].stamps)
        self._streams = (_Stream(*self._bounds), _Stream(*self._bounds))
        self.smallest_difference_ns = None

    def add(self, stream: int, stamp_ns: int, message: Any, size: int = 0) -> tuple[Any, Any] | None:
        """Take a message of stream 0 or 1 and `size` bytes.

        Returns the pair (message of 0, message of 1) that it completes, if any.
        """
        waiting = len(self._streams[0].stamps) + (stream == 0)
        self._streams[stream].insert(stamp_ns, message, size)
        if all(each.went_back for each in self._streams):
            for each in self._streams:
                each.begin_anew()
            self.resets += 1
            self.smallest_difference_ns = None
            self._near = True
        self._compare(stream, stamp_ns)
        pair = self._newest_pair()
        self.unpaired += waiting - len(self._streams[0].stamps) - (pair is not None)
        return pair

    def _compare(self, stream: int, stamp: int) -> None:
        """Note how far the other stream's stamps are from a new one, and whether its partner was there and is gone."""
        own, other = self._streams[stream], self._streams[1 - stream]
        # What went in a pair or for its sake is no missed partner, unless the pair is newer than this stamp.
        start = bisect_right(other.gone, other.taken) if stamp >= own.taken else 0
        waiting, gone = (
            None if near is None else abs(near - stamp)
            for near in (other.nearest(stamp), nearest(other.gone, stamp, start))
        )
        differences = [each for each in (waiting, gone, self.smallest_difference_ns) if each is not None]
        self.smallest_difference_ns = min(differences, default=None)
        if waiting is not None and waiting <= self.slop_ns:
            self._near = True
            return
        if gone is None or gone > self.slop_ns:
            return
        delay = other.newest - stamp
        if delay > self.slop_ns:
            self._late(delay if stream else -delay)

    def _newest_pair(self) -> tuple[Any, Any] | None:
        first, second = self._streams
        if not self._near or not second.stamps:
            return None
        self._near = False
        begin = bisect_left(first.stamps, max(first.taken, second.stamps[0] - self.slop_ns))
        end = bisect_right(first.stamps, second.stamps[-1] + self.slop_ns)
        for stamp in reversed(first.stamps[begin:end]):
            partner = second.nearest(stamp)
            if partner is None or abs(partner - stamp) > self.slop_ns:
                continue
            self._near = True
            if first.nearest(partner) != stamp:
                continue
            if second.may_come_nearer(stamp, partner) or first.may_come_nearer(partner, stamp):
                continue
            self.smallest_difference_ns = None
            first.turned = second.turned = False
            return first.take(stamp), second.take(partner)
        return None


class _Stream(Waiting):
    """The waiting messages of one stream, and what its past says about its future.

    Attributes:
        newest: the latest stamp.
        taken: stamp of the last message that left in a pair. Older ones wait for nothing but a reset.
        turned: whether the stream has gone back for three messages since the last pair.
    """

    def __init__(self, *bounds: int):
        super().__init__(*bounds)
        self.newest = self.taken = -sys.maxsize
        self.turned = False
        self._intervals: deque[int] = deque(maxlen=8)

    @property
    def went_back(self) -> bool:
        """Whether its time was set back, as far as this stream can tell."""
        return self.turned or (bool(self.recent) and self.recent[-1] < self.newest - self.longest_ns)

    def insert(self, stamp: int, message: Any, size: int) -> None:
        """Let a message wait."""
        if stamp > self.newest > -sys.maxsize:
            self._intervals.append(stamp - self.newest)
        self.newest = max(stamp, self.newest)
        self.put(stamp, message, size)
        if len(self.recent) == self.recent.maxlen and max(self.recent) < self.newest:
            self._turn()
            self.turned = True

    def begin_anew(self) -> None:
        """Keep only what came since the stream went back."""
        self._turn()
        self.turned, self.taken = False, -sys.maxsize
        self.gone.clear()

    def _turn(self) -> None:
        """Forget what is newer than the last message."""
        self.newest = self.recent[-1]
        self._intervals.clear()
        for stamp in self.stamps[bisect_right(self.stamps, self.newest) :]:
            self.pop(stamp)

    def nearest(self, stamp: int) -> int | None:
        """The waiting stamp nearest to `stamp` that may leave in a pair; None without any."""
        return nearest(self.stamps, stamp, bisect_left(self.stamps, self.taken))

    def may_come_nearer(self, stamp: int, partner: int) -> bool:
        """Whether a message still to come may be nearer to `stamp` than `partner`, a waiting stamp of this stream."""
        if not self._intervals:
            return False
        return abs(self.newest + min(self._intervals) - stamp) < abs(partner - stamp)

    def take(self, stamp: int) -> Any:
        """The message with this stamp; it and all older ones are gone."""
        while self.stamps[0] < stamp:
            self.drop_oldest()
        self.taken = stamp
        return self.drop_oldest()
