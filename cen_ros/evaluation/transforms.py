# SPDX-License-Identifier: Apache-2.0
"""Where a camera was at a time: the transforms of a recording, looked up as tf2 does.

Poses are float64 (4, 4), child to parent.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

FIXED_FRAMES = ("odom", "map", "world")
"""Names of frames that do not move with a robot, with any namespace before them."""
TOLERANCE_NS = 250_000_000
"""How far the nearest sample of a moving transform may be from the time that is asked for."""


@dataclass
class _Edge:
    """A frame in its parent: one pose for ever, or samples (x y z, qx qy qz qw) by ascending stamp."""

    parent: str
    static: bool
    stamps: array = field(default_factory=lambda: array("q"))
    values: array = field(default_factory=lambda: array("d"))

    def add(self, stamp_ns: int, value: tuple[float, ...]) -> None:
        if self.static:
            self.stamps, self.values = array("q"), array("d")
        place = len(self.stamps) if not self.stamps or stamp_ns > self.stamps[-1] else self._place(stamp_ns)
        self.stamps.insert(place, stamp_ns)
        self.values[7 * place : 7 * place] = array("d", value)

    def _place(self, stamp_ns: int) -> int:
        """Where a late sample belongs; one with the same stamp gives way to it."""
        place = bisect_left(self.stamps, stamp_ns)
        if place < len(self.stamps) and self.stamps[place] == stamp_ns:
            del self.stamps[place], self.values[7 * place : 7 * place + 7]
        return place

    def at(self, stamp_ns: int) -> np.ndarray | None:
        """Between two samples both are weighed; None where none is within `TOLERANCE_NS`."""
        if self.static:
            return _matrix(np.array(self.values))
        after = bisect_left(self.stamps, stamp_ns)
        around = [i for i in (after - 1, after) if 0 <= i < len(self.stamps)]
        if min(abs(self.stamps[i] - stamp_ns) for i in around) > TOLERANCE_NS:
            return None
        first, last = (np.array(self.values[7 * i : 7 * i + 7]) for i in (around[0], around[-1]))
        span = self.stamps[around[-1]] - self.stamps[around[0]]
        weight = (stamp_ns - self.stamps[around[0]]) / span if span else 0.0
        if first[3:] @ last[3:] < 0:  # q and -q are one rotation: the short way between the two
            last[3:] *= -1
        return _matrix(first + weight * (last - first))


def _matrix(value: np.ndarray) -> np.ndarray:
    """(x y z, qx qy qz qw), the quaternion of any length above 0, as a pose (4, 4)."""
    x, y, z, w = value[3:] / np.linalg.norm(value[3:])
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = value[:3]
    return pose


class Transforms:
    """The tree of frames of a recording."""

    def __init__(self) -> None:
        self._edges: dict[str, _Edge] = {}

    def add(self, message: Any, static: bool) -> None:
        """Take the transforms of a tf2_msgs/TFMessage; one that is no pose (NaN, a quaternion of 0) is left out."""
        for stamped in message.transforms:
            parent, child = _name(stamped.header.frame_id), _name(stamped.child_frame_id)
            shift, turn = stamped.transform.translation, stamped.transform.rotation
            value = (shift.x, shift.y, shift.z, turn.x, turn.y, turn.z, turn.w)
            if not np.isfinite(value).all() or not any(value[3:]):
                continue
            edge = self._edges.get(child)
            if edge is None or (edge.parent, edge.static) != (parent, static):
                edge = self._edges[child] = _Edge(parent, static)
            edge.add(stamped.header.stamp.sec * 10**9 + stamped.header.stamp.nanosec, value)

    def fixed_frame(self, frame: str) -> str | None:
        """The nearest ancestor with a name in `FIXED_FRAMES`, else the root, if anything moves on the way to it."""
        ancestors = self._ancestors(_name(frame))
        for name in ancestors:
            if name.rpartition("/")[2] in FIXED_FRAMES:
                return name
        moving = any(not self._edges[child].static for child, _ in pairwise(ancestors))
        return ancestors[-1] if moving else None

    def pose(self, frame: str, fixed: str, stamp_ns: int) -> np.ndarray | None:
        """`frame` in `fixed`, an ancestor of it; None where a transform between them is not known at that time."""
        pose = np.eye(4)
        ancestors = self._ancestors(_name(frame))
        for child in ancestors[: ancestors.index(fixed)]:
            step = self._edges[child].at(stamp_ns)
            if step is None:
                return None
            pose = step @ pose
        return pose

    def _ancestors(self, frame: str) -> list[str]:
        """`frame`, its parent, and so on up to the root, or up to where a loop closes."""
        chain = [frame]
        while (edge := self._edges.get(chain[-1])) is not None and edge.parent not in chain:
            chain.append(edge.parent)
        return chain


def _name(frame: str) -> str:
    """ROS 1 wrote a slash before the name."""
    return frame.lstrip("/")
