# SPDX-License-Identifier: Apache-2.0
"""The few frames of a bag that its report shows: some from all over it, and the worst.

Axes: H height, W width.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

SPREAD = 4
WORST = 6
"""Frames that are shown."""


@dataclass
class Picture:
    """A labeled frame; the figures that are not known are None."""

    index: int
    stamp_ns: int
    rgb: np.ndarray
    """uint8 (H, W, 3)"""
    depth: np.ndarray
    """uint16 mm or float32 m (H, W)"""
    label: np.ndarray
    """uint8 (H, W)"""
    truth: np.ndarray | None = None
    """uint8 (H, W)"""
    iou: float | None = None
    flicker: float | None = None


class Gallery:
    """Keeps a bounded number of pictures, whatever the length of the bag."""

    def __init__(self) -> None:
        self._stride = 1
        self._spread: list[Picture] = []
        self._worst: list[tuple[float, int, Picture]] = []

    def show(self, picture: Picture) -> None:
        """Offer the next picture to those from all over the bag."""
        if picture.index % self._stride:
            return
        self._spread.append(picture)
        if len(self._spread) > 2 * SPREAD:
            del self._spread[1::2]
            self._stride *= 2

    def judge(self, badness: float, picture: Picture) -> None:
        """Offer a picture to the worst; of two as bad the earlier one is kept."""
        keep = heapq.heappush if len(self._worst) < WORST else heapq.heappushpop
        keep(self._worst, (badness, -picture.index, picture))

    @property
    def spread(self) -> list[Picture]:
        """At most `SPREAD`, evenly spaced, in order."""
        places = np.linspace(0, len(self._spread) - 1, min(SPREAD, len(self._spread)))
        return [self._spread[i] for i in places.round().astype(int)]

    @property
    def worst(self) -> list[Picture]:
        """At most `WORST`, the worst first."""
        return [picture for _, _, picture in sorted(self._worst, key=lambda each: each[:2], reverse=True)]
