# SPDX-License-Identifier: Apache-2.0
"""Pairing of two streams by time stamp. Pure Python: it knows neither ROS nor images."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import Any

RESET_NS = 1_000_000_000  # a stamp this much older than its stream's newest: time was set back (bag loop, simulation)


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
        capacity: messages kept of each stream, by default a second of most cameras; the oldest go first.
    """

    def __init__(self, slop_ns: int, capacity: int = 30):
        self.slop_ns = slop_ns
        self.unpaired = 0  # messages of stream 0 that were given up; whoever counts them may set it back
        self.resets = 0  # how often time was set back
        self._capacity = capacity
        self._streams = (_Stream(), _Stream())
        self.smallest_difference_ns: int | None = None  # of two stamps, one of each stream, since the last pair

    def clear(self) -> None:
        """Forget every message and everything known about the streams."""
        self.unpaired += len(self._streams[0].stamps)
        self._streams = (_Stream(), _Stream())
        self.smallest_difference_ns = None

    def add(self, stream: int, stamp_ns: int, message: Any) -> tuple[Any, Any] | None:
        """Take a message of stream 0 or 1; return the pair (message of 0, message of 1) that it completes, if any."""
        newest = self._streams[stream].newest
        if newest is not None and stamp_ns < newest - RESET_NS:
            self.clear()
            self.resets += 1
        own, other = self._streams[stream], self._streams[1 - stream]
        waiting = len(self._streams[0].stamps) + (stream == 0)
        pair = self._pair(own, other, stamp_ns, message)
        self.unpaired += waiting - len(self._streams[0].stamps) - (pair is not None)
        return pair

    def _pair(self, own: _Stream, other: _Stream, stamp_ns: int, message: Any) -> tuple[Any, Any] | None:
        if not own.insert(stamp_ns, message, self._capacity):
            return None
        nearest = other.nearest(stamp_ns)
        if nearest is not None:
            smallest = self.smallest_difference_ns
            difference = abs(nearest - stamp_ns)
            self.smallest_difference_ns = difference if smallest is None else min(difference, smallest)
        return self._newest_pair()

    def _newest_pair(self) -> tuple[Any, Any] | None:
        first, second = self._streams
        for stamp in reversed(first.stamps):
            partner = second.nearest(stamp)
            if partner is None or abs(partner - stamp) > self.slop_ns or first.nearest(partner) != stamp:
                continue
            if second.may_come_nearer(stamp, partner) or first.may_come_nearer(partner, stamp):
                continue
            self.smallest_difference_ns = None
            return first.take(stamp), second.take(partner)
        return None


class _Stream:
    """The waiting messages of one stream, ordered by stamp, and what its past says about its future."""

    def __init__(self):
        self.stamps: list[int] = []
        self.messages: list[Any] = []
        self.newest: int | None = None
        self._taken: int | None = None
        self._intervals: deque[int] = deque(maxlen=8)

    def insert(self, stamp: int, message: Any, capacity: int) -> bool:
        """False if a message with a later stamp has already left in a pair."""
        if self._taken is not None and stamp < self._taken:
            return False
        if self.newest is not None and stamp > self.newest:
            self._intervals.append(stamp - self.newest)
        self.newest = stamp if self.newest is None else max(stamp, self.newest)
        place = bisect_left(self.stamps, stamp)
        again = place < len(self.stamps) and self.stamps[place] == stamp
        self.stamps[place : place + again] = [stamp]
        self.messages[place : place + again] = [message]
        del self.stamps[:-capacity], self.messages[:-capacity]
        return True

    def nearest(self, stamp: int) -> int | None:
        """The waiting stamp nearest to `stamp`; of two as near the later one."""
        return min(reversed(self.stamps), key=lambda own: abs(own - stamp), default=None)

    def may_come_nearer(self, stamp: int, partner: int) -> bool:
        """Whether a message still to come may be nearer to `stamp` than `partner`, a waiting stamp of this stream."""
        if not self._intervals:
            return False
        return abs(self.newest + min(self._intervals) - stamp) < abs(partner - stamp)

    def take(self, stamp: int) -> Any:
        """The message with this stamp; it and all older ones are gone."""
        place = self.stamps.index(stamp)
        message = self.messages[place]
        del self.stamps[: place + 1], self.messages[: place + 1]
        self._taken = stamp
        return message
