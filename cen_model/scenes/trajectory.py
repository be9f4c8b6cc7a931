# SPDX-License-Identifier: Apache-2.0
"""A smooth, endless walk: the camera circles the room's middle and looks across it, so most of the room passes by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cen_model.scenes.raycast import Caster
from cen_model.scenes.rooms import Room
from cen_model.scenes.virtual_camera import Camera, inside_free_space, intrinsics, look_at, rate_view

Rng = np.random.Generator
Path = Callable[[float], Camera]

PERIOD = 40.0
"""Seconds for one round."""
PROBES = 12


def camera_path(rng: Rng, room: Room, caster: Caster, size: tuple[int, int], candidates: int = 24) -> Path:
    """Time in seconds → camera. The best rated of several random rounds that touch nothing."""
    best, best_rating = None, -np.inf
    for _ in range(candidates):
        path = _round(rng, room, size)
        rating = _rate(path, caster)
        if rating > best_rating:
            best, best_rating = path, rating
    return best


def _rate(path: Path, caster: Caster) -> float:
    """Mean rating of views along the round; each one that is too near to something costs dearly."""
    taste, total = np.ones(13), 0.0
    for t in np.arange(PROBES) * PERIOD / PROBES:
        camera = path(t)
        free = inside_free_space(caster, camera.pose[:3, 3], 0.25)
        total += rate_view(caster, camera, taste) if free else -5.0
    return total / PROBES


def _round(rng: Rng, room: Room, size: tuple[int, int]) -> Path:
    middle = room.size[:2] * rng.uniform(0.42, 0.58, 2)
    radii = room.size[:2] * rng.uniform(0.08, 0.34, 2)
    height, dip = rng.uniform(1.25, 1.6), rng.uniform(0.12, 0.3)
    start, sense, phase = rng.uniform(0, 2 * np.pi), rng.choice([-1.0, 1.0]), rng.uniform(0, 2 * np.pi)
    k = intrinsics(size, rng.uniform(0.78, 0.9))

    def at(t: float) -> Camera:
        angle = start + sense * 2 * np.pi * t / PERIOD
        gaze = angle + 0.35 * np.sin(2 * np.pi * 2 * t / PERIOD + phase)
        bob = 0.06 * np.sin(4 * np.pi * t / PERIOD)
        eye = np.array([*(middle - radii * (np.cos(angle), np.sin(angle))), height + bob])
        pitch = dip + 0.1 * np.sin(2 * np.pi * 3 * t / PERIOD + phase)
        return Camera(k, look_at(eye, eye + (np.cos(gaze), np.sin(gaze), -np.tan(pitch))))

    return at
