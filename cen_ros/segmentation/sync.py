# SPDX-License-Identifier: Apache-2.0
"""Pairing of two streams by time stamp. Pure Python: it knows neither ROS nor images."""

from __future__ import annotations

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
    is older: the newest wins, and stamps of returned pairs never decrease in either stream.

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
        newest = self._streams[stream].newest
        if newest is not None and stamp_ns < newest - self._bounds[0]:
            self.clear()
            self.resets += 1
        waiting = len(self._streams[0].stamps) + (stream == 0)
        fresh = self._streams[stream].insert(stamp_ns, message, size)
        self._compare(stream, stamp_ns, fresh)
        pair = self._newest_pair() if fresh else None
        self.unpaired += waiting - len(self._streams[0].stamps) - (pair is not None)
        return pair

    def _compare(self, stream: int, stamp: int, fresh: bool) -> None:
        """Note how far the other stream's stamps are from a new one, and whether its partner was there and is gone."""
        other = self._streams[1 - stream]
        # What went in a pair or for its sake is no missed partner, unless the pair is newer than this stamp.
        start = bisect_right(other.gone, other.taken) if fresh and other.taken is not None else 0
        waiting, gone = (
            None if near is None else abs(near - stamp)
            for near in (nearest(other.stamps, stamp), nearest(other.gone, stamp, start))
        )
        differences = [each for each in (waiting, gone, self.smallest_difference_ns) if each is not None]
        self.smallest_difference_ns = min(differences, default=None)
        if gone is None or gone > self.slop_ns or (waiting is not None and waiting <= self.slop_ns):
            return
        delay = other.newest - stamp
        if delay > self.slop_ns:
            self._late(delay if stream else -delay)

    def _newest_pair(self) -> tuple[Any, Any] | None:
        first, second = self._streams
        if not second.stamps:
            return None
        begin = bisect_left(first.stamps, second.stamps[0] - self.slop_ns)
        end = bisect_right(first.stamps, second.stamps[-1] + self.slop_ns)
        for stamp in reversed(first.stamps[begin:end]):
            partner = nearest(second.stamps, stamp)
            if abs(partner - stamp) > self.slop_ns or nearest(first.stamps, partner) != stamp:
                continue
            if second.may_come_nearer(stamp, partner) or first.may_come_nearer(partner, stamp):
                continue
            self.smallest_difference_ns = None
            return first.take(stamp), second.take(partner)
        return None


class _Stream(Waiting):
    """The waiting messages of one stream, and what its past says about its future."""

    def __init__(self, *bounds: int):
        super().__init__(*bounds)
        self.newest: int | None = None
        self.taken: int | None = None
        self._intervals: deque[int] = deque(maxlen=8)

    def insert(self, stamp: int, message: Any, size: int) -> bool:
        """False if a message with a later stamp has already left in a pair."""
        if self.taken is not None and stamp < self.taken:
            return False
        if self.newest is not None and stamp > self.newest:
            self._intervals.append(stamp - self.newest)
        self.newest = stamp if self.newest is None else max(stamp, self.newest)
        self.put(stamp, message, size)
        return True

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
