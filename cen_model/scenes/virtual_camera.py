# SPDX-License-Identifier: Apache-2.0
"""Pinhole cameras (x right, y down, z forward) and the choice of a good view of a room."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cen_model.classes import NYU13
from cen_model.scenes.raycast import Caster
from cen_model.scenes.rooms import Room

Rng = np.random.Generator

RARITY = np.array([1.2, 3.0, 0.7, 1.6, 0.5, 0.8, 1.3, 1.8, 1.2, 1.6, 3.0, 0.3, 1.5])
"""How much a view gains from showing a class of NYU13; counterweights how seldom it is seen."""
PROBE = (24, 32)


@dataclass(frozen=True, eq=False)
class Camera:
    """intrinsics (3, 3), integer pixel coordinates at pixel centers; pose (4, 4) camera to world."""

    intrinsics: np.ndarray
    pose: np.ndarray

    def rays(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """World origins and directions, float32 (H·W, 3); a direction's camera z is 1, so hit distance = z depth."""
        local = pixel_directions(self.intrinsics, size).reshape(-1, 3)
        directions = (local @ self.pose[:3, :3].T).astype(np.float32)
        origins = np.broadcast_to(self.pose[:3, 3].astype(np.float32), directions.shape)
        return np.ascontiguousarray(origins), np.ascontiguousarray(directions)


def pixel_directions(intrinsics: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """float64 (H, W, 3): the camera-frame point at z = 1 m behind each pixel center."""
    v, u = np.mgrid[0 : size[0], 0 : size[1]]
    x = (u - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (v - intrinsics[1, 2]) / intrinsics[1, 1]
    return np.stack([x, y, np.ones_like(x)], axis=-1)


def intrinsics(size: tuple[int, int], focal: float) -> np.ndarray:
    """`focal` is in image widths: 0.82 is a Kinect, 0.95 a RealSense D435's color camera."""
    f = focal * size[1]
    return np.array([[f, 0, (size[1] - 1) / 2], [0, f, (size[0] - 1) / 2], [0, 0, 1.0]])


def look_at(eye: np.ndarray, target: np.ndarray, roll: float = 0.0) -> np.ndarray:
    """Pose (4, 4) at `eye` that looks at `target`, turned by `roll` radians about the optical axis."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([c * right + s * down, c * down - s * right, forward], axis=1)
    pose[:3, 3] = eye
    return pose


def inside_free_space(caster: Caster, eye: np.ndarray, clearance: float) -> bool:
    """Whether `eye` is outside every solid and at least `clearance` meters from all of them (probed along 18 rays)."""
    k = np.arange(18)
    z = 1 - (2 * k + 1) / 18
    r, angle = np.sqrt(1 - z**2), k * 2.39996
    directions = np.stack([r * np.cos(angle), r * np.sin(angle), z], axis=1).astype(np.float32)
    origins = np.repeat(eye[None].astype(np.float32), len(k), axis=0)
    part, distance, leaving = caster.nearest(origins, directions)
    return bool((part >= 0).all() and (leaving < 0).all() and (distance > clearance).all())


def rate_view(caster: Caster, camera: Camera, taste: np.ndarray) -> float:
    """Higher is better; −1 for a view that one class fills, that is blocked, or that leaves the room."""
    small = camera.intrinsics.copy()
    small[:2] *= PROBE[1] / (2 * camera.intrinsics[0, 2] + 1)
    part, z, leaving = caster.nearest(*Camera(small, camera.pose).rays(PROBE))
    if (part < 0).any() or (leaving > 0).any() or np.quantile(z, 0.1) < 0.8:
        return -1.0
    share = np.bincount(caster.labels[part], minlength=len(NYU13)) / len(part)
    if share.max() > 0.62:
        return -1.0
    return float((taste * np.sqrt(np.minimum(share, 0.12))).sum())


def choose_camera(rng: Rng, room: Room, caster: Caster, size: tuple[int, int], candidates: int = 10) -> Camera:
    """The best rated of several random views from human or robot height; a taste drawn per scene keeps them varied."""
    taste, k = RARITY * rng.gamma(1.2, 1.0, len(RARITY)), intrinsics(size, rng.uniform(0.78, 0.98))
    best, best_rating, found = None, -np.inf, 0
    for _ in range(12 * candidates):
        height = rng.choice([0.6, 1.2, 1.5]) + rng.uniform(-0.15, 0.2)
        eye = np.array([*(rng.uniform(0.1, 0.9, 2) * room.size[:2]), height])
        target = room.targets[int(rng.integers(len(room.targets)))] + rng.normal(0, 0.35, 3)
        target[2] = np.clip(target[2], 0.2, 1.7)
        if np.hypot(*(target - eye)[:2]) < 0.8 or not inside_free_space(caster, eye, 0.3):
            continue
        camera = Camera(k, look_at(eye, target, rng.normal(0, 0.03)))
        rating = rate_view(caster, camera, taste)
        found += rating > 0
        if rating > best_rating:
            best, best_rating = camera, rating
        if found >= candidates:
            break
    assert best is not None, "a room without any free place for a camera"
    return best
