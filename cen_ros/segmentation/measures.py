# SPDX-License-Identifier: Apache-2.0
"""Counts and durations of what the node does, for its diagnostics. Knows no ROS."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from threading import Lock

import numpy as np

from cen_ros.segmentation.stamps import fault

STAGES = ("receive", "pair", "wait", "convert", "infer", "publish")
"""What a label's age is made of: from the stamp of the RGB image to its arrival; until the depth image that goes with
it is known; until the worker has time; to arrays; in the network; until it is handed to ROS."""

UNHEARD, UNUSABLE = "nobody listens", "not usable"
"""Reasons why a frame gets no label; others may be given."""

STEADY_NS = 100_000_000
"""How much the lag between two streams whose clocks run alike may change, for what comes in bunches."""

RECENT = 500
"""Labels that percentiles are taken of."""


@dataclass(frozen=True)
class Summary:
    """What happened since the last summary, and percentiles of the most recent labels.

    Attributes:
        counts: of what arrived and left since the last summary, by "rgb", "depth", "pairs", "labels", and of frames
            without a label by reason.
        drops: frames without a label by reason, since the node was activated.
        failure: what the last frame that was not usable failed of.
        stages_ms: median and 95th percentile by stage, milliseconds; "node" is all but "receive".
        difference_ms: median of RGB stamp - depth stamp in recent pairs; None without any.
        lag_ms: by how much depth's stamps lie behind RGB's, judged by when the images arrive; None where unknown or
            not constant.
        late_ms: by how much depth comes after the RGB image of its stamp, too late for a pair; negative where RGB comes
            after depth; None since the last pair.
        faults: of RGB's and of depth's stamps, as `stamps.fault` says it.
    """

    counts: Mapping[str, int]
    drops: Mapping[str, int]
    failure: str
    stages_ms: Mapping[str, tuple[float, float]]
    difference_ms: float | None
    lag_ms: float | None
    late_ms: float | None
    faults: tuple[str | None, str | None]


class Measures:
    """Taken in several threads, summed up in any."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._drops: Counter[str] = Counter()
        self._labeled, self._failure = 0, ""
        self._stages: deque[tuple[float, ...]] = deque(maxlen=RECENT)
        self._differences: deque[int] = deque(maxlen=50)
        self._arrivals = tuple(deque[tuple[int, int]](maxlen=50) for _ in range(2))  # stamps, and when they came
        self._late: deque[int] = deque(maxlen=50)

    def image(self, stream: int, stamp_ns: int, received_ns: int) -> None:
        """An image of stream 0 (RGB) or 1 (depth) has come; `received_ns` on any clock, the same for both."""
        with self._lock:
            self._counts[("rgb", "depth")[stream]] += 1
            self._arrivals[stream].append((stamp_ns, received_ns))

    def pair(self, difference_ns: int) -> None:
        """Two images belong together; RGB stamp - depth stamp."""
        with self._lock:
            self._counts["pairs"] += 1
            self._differences.append(difference_ns)
            self._late.clear()

    def late(self, delay_ns: int) -> None:
        """An image came too late for its partner: depth after RGB, or, where negative, RGB after depth."""
        with self._lock:
            self._late.append(delay_ns)

    def label(self, stages_ms: tuple[float, ...]) -> None:
        """A label has left; how long each of STAGES took."""
        with self._lock:
            self._counts["labels"] += 1
            self._labeled += 1
            self._stages.append(stages_ms)

    def drop(self, reason: str, frames: int = 1) -> None:
        """Frames that get no label."""
        with self._lock:
            self._drops[reason] += frames
            self._counts[reason] += frames

    def fail(self, error: str) -> None:
        """A frame gets no label because of an error."""
        self.drop(UNUSABLE)
        self._failure = error

    def total(self) -> str:
        """What came of all frames, in a line."""
        with self._lock:
            drops = ", ".join(f"{count} dropped: {reason}" for reason, count in self._drops.items())
            return f"{self._labeled} frames labeled, {drops or 'none dropped'}"

    def forget_stamps(self) -> None:
        """Stamps mean something else from now on: time was set back, or the offset changed."""
        with self._lock:
            for values in (self._differences, self._late, *self._arrivals):
                values.clear()

    def summary(self) -> Summary:
        """Sum up, and begin to count anew."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            stages, drops = np.array(self._stages), dict(self._drops)
            difference = median(self._differences) / 1e6 if self._differences else None
            late = median(self._late) / 1e6 if self._late else None
            lag = _lag_ms(*self._arrivals)
            faults = tuple(fault([stamp for stamp, _ in each]) for each in self._arrivals)
        return Summary(counts, drops, self._failure, _percentiles(stages), difference, lag, late, faults)


def _lag_ms(rgb: Sequence[tuple[int, int]], depth: Sequence[tuple[int, int]]) -> float | None:
    """By how much depth's stamps lie behind RGB's; None where that is not the same at the beginning and at the end."""
    if not rgb or not depth:
        return None
    lags = [np.array([at - stamp for stamp, at in each]) for each in (rgb, depth)]

    def lag_of(part: Callable[[np.ndarray], np.ndarray]) -> float:
        return float(np.median(part(lags[1])) - np.median(part(lags[0])))

    begin, end = (
        lag_of(lambda values: values[: len(values) // 2 + 1]),
        lag_of(lambda values: values[len(values) // 2 :]),
    )
    return lag_of(np.asarray) / 1e6 if abs(end - begin) <= STEADY_NS else None


def resident_bytes(process: int | str = "self") -> int:
    """What a process, by default this one, has in memory now."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _percentiles(stages: np.ndarray) -> dict[str, tuple[float, float]]:
    """Of (labels, stages); empty without labels."""
    if not len(stages):
        return {}
    columns = {**dict(zip(STAGES, stages.T, strict=True)), "node": stages[:, 1:].sum(1)}
    return {name: tuple(np.percentile(values, (50, 95)).tolist()) for name, values in columns.items()}
