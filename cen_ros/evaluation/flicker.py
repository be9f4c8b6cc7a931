# SPDX-License-Identifier: Apache-2.0
"""How steady labels are: the share of pixels whose label changes from one frame to the next.

Counted plainly, a pixel's label also changes because the camera moves. Warped, each point that both frames see is
compared with itself: depth and the camera's two poses say where it was.

Axes: H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from cen_model.depth import to_meters

RELATIVE_TOLERANCE = 0.05
ABSOLUTE_TOLERANCE = 0.05
"""Meters. A point is taken for the same surface only where its depth differs by neither more than this nor than 5 %."""

NEAREST = 1e-3
"""Meters; what is not at least as far before the camera is behind it."""


class Change(NamedTuple):
    """Pixels counted."""

    changed: int
    compared: int
    seen: int
    """All pixels of the frame."""


@dataclass(frozen=True)
class View:
    """One labeled frame: where the camera was and what it saw."""

    labels: np.ndarray
    """uint8 (H, W)"""
    depth: np.ndarray
    """uint16 mm or float32 m (H, W); 0, NaN, inf or negative is a hole"""
    intrinsics: np.ndarray
    """float64 (3, 3)"""
    pose: np.ndarray
    """float64 (4, 4), camera (x right, y down, z forward) to a frame that stands still"""


def plain(before: np.ndarray, now: np.ndarray) -> Change:
    """Labels uint8 (H, W) of two frames, pixel by pixel."""
    return Change(np.count_nonzero(before != now), now.size, now.size)


def warped(before: View, now: View) -> Change:
    """Labels of two frames of the same size, surface point by surface point.

    Each pixel of `now` with depth is carried to where `before` saw that point. It is compared there unless it falls
    outside the image, or `before` measured no depth or another one: it was hidden, or something moved.
    """
    # With p = (x, y, 1), depth z and the motion R, t: K' (R K^-1 p z + t) = (u w, v w, w), and w is the point's depth.
    height, width = now.labels.shape
    motion = np.linalg.inv(before.pose) @ now.pose
    turn = (before.intrinsics @ motion[:3, :3] @ np.linalg.inv(now.intrinsics)).astype(np.float32)
    shift = (before.intrinsics @ motion[:3, 3]).astype(np.float32)
    z = to_meters(now.depth, np.float32)
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    u, v, w = ((turn[k, 0] * x + (turn[k, 1] * y + turn[k, 2])) * z + shift[k] for k in range(3))
    ahead = (z > 0) & (w > NEAREST)
    scale = np.divide(1, w, out=np.zeros_like(w), where=ahead)
    u, v = u * scale, v * scale
    there = {"map1": u, "map2": v, "interpolation": cv2.INTER_NEAREST, "borderMode": cv2.BORDER_CONSTANT}
    found = cv2.remap(to_meters(before.depth, np.float32), **there)  # 0 outside
    tolerance = np.minimum(RELATIVE_TOLERANCE * w, ABSOLUTE_TOLERANCE)
    same = ahead & (found > 0) & (np.abs(found - w) <= tolerance)
    changed = now.labels != cv2.remap(before.labels, **there)
    return Change(np.count_nonzero(changed & same), np.count_nonzero(same), now.labels.size)
