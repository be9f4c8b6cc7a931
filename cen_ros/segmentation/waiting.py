# SPDX-License-Identifier: Apache-2.0
"""Stamped items that wait for their partners, bounded by time and bytes. Pure Python: it knows no ROS."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from typing import Any

LONGEST_NS = 2_000_000_000
"""How much older than the present an item may be; cameras that align depth deliver it up to a second late."""
MOST_BYTES = 64_000_000
LEAST_BYTES = 64_000
"""What an item counts as at least, so that never more than a thousand wait."""
REMEMBERED = 4096
"""Stamps of items that are gone that are remembered."""


class Waiting:
    """Items ordered by stamp. The oldest go first, and stamps of what was dropped are remembered in `gone`.

    Args:
        longest_ns: how much older than the present an item may be. The present is the median of the last three stamps,
            which one wild stamp does not move.
        most_bytes: size of all items together.
    """

    def __init__(self, longest_ns: int = LONGEST_NS, most_bytes: int = MOST_BYTES):
        self.longest_ns, self.most_bytes = longest_ns, most_bytes
        self.stamps: list[int] = []
        self.gone: list[int] = []
        self.recent: deque[int] = deque(maxlen=3)
        self._items: dict[int, tuple[Any, int]] = {}
        self._bytes = 0

    def put(self, stamp: int, item: Any, size: int = 0) -> None:
        """Add an item of `size` bytes; it replaces the one with the same stamp."""
        self.recent.append(stamp)
        self.pop(stamp)
        size = max(size, LEAST_BYTES)
        oldest = sorted(self.recent)[(len(self.recent) - 1) // 2] - self.longest_ns
        while self.stamps and (self.stamps[0] < oldest or self._bytes + size > self.most_bytes):
            self.drop_oldest()
        insort(self.stamps, stamp)
        self._items[stamp] = item, size
        self._bytes += size

    def pop(self, stamp: int) -> Any:
        """Remove and return the item with this stamp; None where there is none."""
        if stamp not in self._items:
            return None
        item, size = self._items.pop(stamp)
        del self.stamps[bisect_left(self.stamps, stamp)]
        self._bytes -= size
        return item

    def drop_oldest(self) -> Any:
        """Remove and return the oldest item, and remember its stamp."""
        insort(self.gone, self.stamps[0])
        del self.gone[:-REMEMBERED]
        return self.pop(self.stamps[0])


def nearest(stamps: Sequence[int], stamp: int, start: int = 0) -> int | None:
    """Return the one of ascending `stamps`, from index `start` on, that is nearest to `stamp`.

    Of two as near it is the later one; None where there is none.
    """
    place = bisect_left(stamps, stamp, start)
    around = stamps[max(place - 1, start) : place + 1]
    return min(reversed(around), key=lambda each: abs(each - stamp), default=None)
