# SPDX-License-Identifier: Apache-2.0
"""How steady labels are: the share of pixels whose label changes from one frame to the next.

Counted plainly, a pixel's label also changes because the camera moves. Warped, each point that both frames see is
compared with itself: depth and the camera's two poses say where it was.

Axes: H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

RELATIVE_TOLERANCE = 0.05
ABSOLUTE_TOLERANCE = 0.05
"""Metres. A point is taken for the same surface only where its depth differs by neither more than this nor than 5 %."""


class Change(NamedTuple):
    """Pixels counted."""

    changed: int
    compared: int
    seen: int
    """All pixels of the frame."""


@dataclass(frozen=True)
class View:
    """One labelled frame: where the camera was and what it saw."""

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
    return Change(int((before != now).sum()), now.size, now.size)


def warped(before: View, now: View) -> Change:
    """Labels of two frames of the same size, surface point by surface point.

    Each pixel of `now` with depth is carried to where `before` saw that point. It is compared there unless it falls
    outside the image, or `before` measured no depth or another one: it was hidden, or something moved.
    """
    height, width = now.labels.shape
    depth_now, depth_before = _metres(now.depth), _metres(before.depth)
    rows, columns = np.nonzero(depth_now)
    z = depth_now[rows, columns].astype(np.float64)
    rays = np.linalg.inv(now.intrinsics) @ np.stack([columns, rows, np.ones_like(rows)]).astype(np.float64)
    motion = np.linalg.inv(before.pose) @ now.pose
    points = motion[:3, :3] @ (rays * z) + motion[:3, 3:]
    ahead = points[2] > 1e-3
    rows, columns, points = rows[ahead], columns[ahead], points[:, ahead]
    u, v, _ = np.rint(before.intrinsics @ points / points[2])
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    u, v, expected = u[inside].astype(np.intp), v[inside].astype(np.intp), points[2, inside]
    tolerance = np.minimum(RELATIVE_TOLERANCE * expected, ABSOLUTE_TOLERANCE)
    same = (depth_before[v, u] > 0) & (np.abs(depth_before[v, u] - expected) <= tolerance)
    changed = now.labels[rows[inside], columns[inside]][same] != before.labels[v, u][same]
    return Change(int(changed.sum()), int(same.sum()), now.labels.size)


def _metres(depth: np.ndarray) -> np.ndarray:
    """Depth as float32 metres, holes 0."""
    metres = depth * np.float32(1e-3) if depth.dtype == np.uint16 else depth
    return np.where(np.isfinite(metres) & (metres > 0), metres, np.float32(0))
