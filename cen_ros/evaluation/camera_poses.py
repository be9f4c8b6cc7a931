# SPDX-License-Identifier: Apache-2.0
"""Where a bag says that its camera was, and through which lens it looked; transforms are looked up as tf2 does.

Poses are float64 (4, 4), child to parent.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from cen_ros.bags.reader import Bag
from cen_ros.messages.camera_model import intrinsics
from cen_ros.segmentation.sync import stamp_ns

TRANSFORMS = "tf2_msgs/msg/TFMessage"
STATIC = "tf_static"
"""How the names of those topics end whose transforms hold for ever."""
FIXED_FRAMES = ("odom", "map", "world")
"""Names of frames that do not move with a robot, with any namespace before them."""
TOLERANCE_NS = 250_000_000
"""How far the nearest sample of a moving transform may be from the time that is asked for."""


class Geometry:
    """Poses and intrinsics by stamp, as far as a bag has them; `missing` says, once asked for, what it lacks.

    Args:
        bag: its transforms and camera_info are all read here, before any image: what is between two transforms is
            known only with the later one.
        info: topic of the color image's camera_info, if there is one.
    """

    def __init__(self, bag: Bag, info: str | None):
        self.missing: str | None = None
        self._transforms = Transforms()
        self._fixed: dict[str, str | None] = {}
        self._stamps: list[int] = []
        self._infos: list[Any] = []
        topics = [name for name, topic in bag.topics.items() if topic.type == TRANSFORMS]  # a robot's have its name
        moving = any(not name.endswith(STATIC) for name in topics)
        if not moving or info is None:
            self.missing = f"the bag has no {'camera_info of the color images' if moving else '/tf'}"
            return
        for each in bag.messages([*topics, info]):
            if each.topic == info:
                self._take_info(each.message)
            else:
                self._transforms.add(each.message, each.topic.endswith(STATIC))

    def camera(self, frame_id: str, stamp_ns: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray] | None:
        """Intrinsics (3, 3) of images of `size` (H, W), and the pose (4, 4) of their frame in one that stands still.

        None where either is not known at that time.
        """
        fixed = self._fixed_frame(frame_id)
        if fixed is None or not self._infos:
            self._note(f"/tf does not say how {frame_id!r} moves" if fixed is None else "no camera_info can be read")
            return None
        pose = self._transforms.pose(frame_id, fixed, stamp_ns)
        if pose is None:
            self._note(f"/tf has no way from {frame_id!r} to {fixed!r} at the time of some images")
            return None
        try:
            return intrinsics(self._infos[max(0, bisect_right(self._stamps, stamp_ns) - 1)], size), pose
        except ValueError as error:
            self._note(f"camera_info: {error}")
            return None

    def _note(self, reason: str) -> None:
        """The first reason is the one that is told."""
        self.missing = self.missing or reason

    def _fixed_frame(self, frame_id: str) -> str | None:
        if frame_id not in self._fixed:
            self._fixed[frame_id] = self._transforms.fixed_frame(frame_id)
        return self._fixed[frame_id]

    def _take_info(self, info: Any) -> None:
        """Keep it if it is another than the one before; cameras repeat theirs with every image."""
        last, names = self._infos[-1] if self._infos else None, ("k", "p", "width", "height")
        if last is None or any(np.any(getattr(info, name) != getattr(last, name)) for name in names):
            self._stamps.append(stamp_ns(info.header))
            self._infos.append(info)


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
            edge.add(stamp_ns(stamped.header), value)

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
