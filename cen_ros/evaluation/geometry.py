# SPDX-License-Identifier: Apache-2.0
"""Where a bag says that its camera was, and through which lens it looked."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import numpy as np

from cen_ros.bags.reader import Bag
from cen_ros.camera_model import intrinsics
from cen_ros.evaluation.transforms import Transforms

TF_TOPICS = {"/tf": False, "/tf_static": True}
"""Whether the transforms of a topic hold for ever."""


class Geometry:
    """Poses and intrinsics by stamp, as far as a bag has them; `missing` says, once asked for, what it lacks.

    Args:
        bag: its transforms and camera_info are all read here, before any image: what is between two transforms is
            known only with the later one.
        info: topic of the colour image's camera_info, if there is one.
    """

    def __init__(self, bag: Bag, info: str | None):
        self.missing: str | None = None
        self._transforms = Transforms()
        self._fixed: dict[str, str | None] = {}
        self._stamps: list[int] = []
        self._infos: list[Any] = []
        topics = [name for name in (*TF_TOPICS, info) if name in bag.topics]
        if "/tf" not in topics or info is None:
            self.missing = f"the bag has no {'/tf' if '/tf' not in topics else 'camera_info of the colour images'}"
            return
        for each in bag.messages(topics):
            if each.topic == info:
                self._take_info(each.message)
            else:
                self._transforms.add(each.message, TF_TOPICS[each.topic])

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
            self._stamps.append(info.header.stamp.sec * 10**9 + info.header.stamp.nanosec)
            self._infos.append(info)
