# SPDX-License-Identifier: Apache-2.0
"""Says why no labels come: which stream is silent, or by how much the stamps miss each other."""

from __future__ import annotations


class PairWatch:
    """Counts what arrives between two reports.

    Args:
        topics: names of the RGB and the depth topic.
        slop_ns: largest difference of two stamps in a pair, nanoseconds.
    """

    def __init__(self, topics: tuple[str, str], slop_ns: int):
        self._topics = topics
        self._slop_ns = slop_ns
        self._reset()

    def _reset(self) -> None:
        self._received = [0, 0]
        self._pairs = 0

    def image(self, stream: int) -> None:
        """Note an image of stream 0 (RGB) or 1 (depth)."""
        self._received[stream] += 1

    def pair(self) -> None:
        """Note a pair."""
        self._pairs += 1

    def report(self, publishers: tuple[int, int], difference_ns: int | None) -> str | None:
        """Why there was no pair since the last report; None if there was one.

        Args:
            publishers: how many nodes publish each topic.
            difference_ns: the smallest difference seen between an RGB and a depth stamp, nanoseconds.
        """
        received, pairs = self._received, self._pairs
        self._reset()
        if pairs:
            return None
        silent = [
            f"nothing on {topic} ({count} publishers)"
            for topic, number, count in zip(self._topics, received, publishers, strict=True)
            if number == 0
        ]
        if silent:
            return "no RGB-D pair: " + " and ".join(silent)
        nearest = "unknown" if difference_ns is None else f"{difference_ns / 1e6:.1f} ms"
        return (
            f"no RGB-D pair: {received[0]} images on {self._topics[0]} and {received[1]} on {self._topics[1]}, but no "
            f"two stamps within sync_slop ({self._slop_ns / 1e6:.1f} ms); the nearest were {nearest} apart"
        )
