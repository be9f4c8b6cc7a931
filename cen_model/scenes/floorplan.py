# SPDX-License-Identifier: Apache-2.0
"""Where things go: a rectangular room that keeps floor footprints and wall spaces from overlapping."""

from __future__ import annotations

import numpy as np

from cen_model.scenes.items import Item, Part, turn

Rng = np.random.Generator
Spot = tuple[int, np.ndarray]
Rectangle = tuple[float, float, float, float]
TRIES = 12


class Floorplan:
    """The parts of a room, item by item, and where people like to look.

    The room spans [0, width] × [0, depth] × [0, height] meters. Wall k's inward normal is +y turned by 90°·k.
    `items` holds each item's range of indices into `parts`.
    """

    def __init__(self, width: float, depth: float, height: float):
        self.width, self.depth, self.height = width, depth, height
        self.parts: list[Part] = []
        self.targets: list[np.ndarray] = []
        self.items: list[range] = []
        self._floor: list[Rectangle] = []
        self._walls: list[list[Rectangle]] = [[], [], [], []]

    def wall_length(self, wall: int) -> float:
        return self.width if wall % 2 == 0 else self.depth

    def wall_point(self, wall: int, along: float, out: float, z: float = 0.0) -> np.ndarray:
        """World point `along` meters from the wall's middle, `out` meters into the room."""
        w, d = self.width, self.depth
        middle = ((w / 2, 0), (w, d / 2), (w / 2, d), (0, d / 2))[wall]
        return turn(wall * np.pi / 2) @ np.array([along, out, 0.0]) + (*middle, z)

    def add(self, item: Item, rotation: np.ndarray, offset: np.ndarray) -> None:
        """Put the item there without asking, and remember it as worth looking at."""
        self.items.append(range(len(self.parts), len(self.parts) + len(item.parts)))
        self.parts += item.moved(rotation, offset)
        self.targets.append(offset + (0.0, 0.0, item.size[2] / 2))

    def stand_at_wall(self, rng: Rng, item: Item, gap: float = 0.03, front: float = 0.0) -> Spot | None:
        """Stand the item with its back to some wall and `front` meters before it free; (wall, floor point) or None."""
        width, depth, height = item.size
        for _ in range(TRIES):
            wall = int(rng.integers(4))
            slack = (self.wall_length(wall) - width) / 2 - 0.02
            if slack <= 0:
                continue
            along = rng.uniform(-slack, slack)
            span = (along - width / 2, along + width / 2, 0.0, height)
            point = self.wall_point(wall, along, depth / 2 + gap)
            footprint = self._footprint(point, wall, width, depth, front)
            if self._free(footprint) and self._wall_free(wall, span):
                self._floor.append(footprint)
                self._walls[wall].append(span)
                self.add(item, turn(wall * np.pi / 2), point)
                return wall, point
        return None

    def _footprint(self, point: np.ndarray, wall: int, width: float, depth: float, front: float) -> Rectangle:
        reach = turn(wall * np.pi / 2) @ np.array([0.0, front, 0.0])
        half = np.array([width, depth]) / 2 if wall % 2 == 0 else np.array([depth, width]) / 2
        low, high = point[:2] - half, point[:2] + half
        low, high = np.minimum(low, low + reach[:2]), np.maximum(high, high + reach[:2])
        return low[0], high[0], low[1], high[1]

    def hang(self, rng: Rng, item: Item, bottom: tuple[float, float]) -> bool:
        """Hang the item on some wall, its lower edge between the two heights of `bottom`."""
        width, depth, height = item.size
        for _ in range(TRIES):
            wall, z = int(rng.integers(4)), min(rng.uniform(*bottom), self.height - height - 0.05)
            slack = (self.wall_length(wall) - width) / 2 - 0.1
            if slack <= 0:
                continue
            along = rng.uniform(-slack, slack)
            span = (along - width / 2, along + width / 2, z, z + height)
            if self._wall_free(wall, span):
                self._walls[wall].append(span)
                self.add(item, turn(wall * np.pi / 2), self.wall_point(wall, along, depth / 2, z))
                return True
        return False

    def place(self, rng: Rng, item: Item, clearance: float = 0.1, near: np.ndarray | None = None) -> np.ndarray | None:
        """Stand the item anywhere on free floor, or within 1.2 m of `near`; its floor point or None."""
        half = np.hypot(item.size[0], item.size[1]) / 2 if max(item.size[:2]) < 0.8 else max(item.size[:2]) / 2
        for _ in range(TRIES):
            low, high = np.full(2, half + 0.05), np.array([self.width, self.depth]) - half - 0.05
            if near is not None:
                low, high = np.maximum(low, near[:2] - 1.2), np.minimum(high, near[:2] + 1.2)
            if (high <= low).any():
                return None
            point = rng.uniform(low, high)
            reach = half + clearance
            if self._free(_square(point, reach)):
                self._floor.append(_square(point, half))
                self.add(item, turn(rng.choice([0, 0.5, 1, 1.5]) * np.pi + rng.normal(0, 0.1)), np.array([*point, 0.0]))
                return np.array([*point, 0.0])
        return None

    def _free(self, r: Rectangle) -> bool:
        inside = r[0] >= 0 and r[1] <= self.width and r[2] >= 0 and r[3] <= self.depth
        return inside and not any(_overlap(r, other) for other in self._floor)

    def _wall_free(self, wall: int, span: Rectangle) -> bool:
        return not any(_overlap(span, other) for other in self._walls[wall])


def _square(point: np.ndarray, half: float) -> Rectangle:
    return point[0] - half, point[0] + half, point[1] - half, point[1] + half


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    """Whether the rectangles (u0, u1, v0, v1) share area."""
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]
