# SPDX-License-Identifier: Apache-2.0
"""A furnished room from a seed: shell, windows, furniture by the room's use, things on walls and floor, lights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cen_model.scenes import clutter, materials, openings, seats, storage
from cen_model.scenes.floorplan import Floorplan
from cen_model.scenes.furnishing import furnish
from cen_model.scenes.items import (
    CEILING,
    FLOOR,
    OBJECTS,
    PICTURE,
    TV,
    WALL,
    WINDOW,
    Material,
    Part,
    box,
    turn,
)
from cen_model.scenes.lights import Light, room_lights

Rng = np.random.Generator
_FLAT = (PICTURE, TV, WALL, WINDOW)


@dataclass(frozen=True, eq=False)
class Room:
    """size: (width, depth, height) m; targets: (N, 3) points worth looking at; lights: a few, strongest first."""

    size: np.ndarray
    parts: list[Part]
    targets: np.ndarray
    lights: list[Light]


def make_room(seed: int) -> Room:
    """The room of `seed`; the same in every process."""
    rng = np.random.default_rng([seed, 1])
    plan = Floorplan(rng.uniform(3.6, 6.2), rng.uniform(3.6, 6.2), rng.uniform(2.35, 2.9))
    floor, wall = materials.floor(rng), materials.wall(rng)
    plan.parts += _shell(rng, plan, floor, wall)
    windows = _windows(rng, plan)
    plan.hang(rng, openings.door(rng), (0.0, 0.0))
    furnish(rng, plan)
    _decorate(rng, plan)
    _litter(rng, plan)
    _camouflage(rng, plan, (floor, wall))
    if rng.random() < 0.6:
        _rug(rng, plan)
    lamps, lights = room_lights(rng, plan, windows)
    plan.parts += lamps
    return Room(np.array([plan.width, plan.depth, plan.height]), plan.parts, np.array(plan.targets), lights)


def _shell(rng: Rng, plan: Floorplan, floor: Material, wall: Material) -> list[Part]:
    """Floor, ceiling and four walls as 0.2 m slabs, and skirting boards."""
    w, d, h, t = plan.width, plan.depth, plan.height, 0.2
    accent = materials.wall(rng) if rng.random() < 0.35 else wall
    parts = [
        box(FLOOR, floor, (w + 2 * t, d + 2 * t, t), (w / 2, d / 2, -t / 2)),
        box(CEILING, materials.ceiling(rng), (w + 2 * t, d + 2 * t, t), (w / 2, d / 2, h + t / 2)),
    ]
    board = materials.hard(rng)
    for k in range(4):
        pose, length = turn(k * np.pi / 2), plan.wall_length(k)
        size = (length + 2 * t, t, h)
        parts.append(box(WALL, accent if k == 0 else wall, size, plan.wall_point(k, 0, -t / 2, h / 2), pose))
        parts.append(box(WALL, board, (length, 0.02, 0.09), plan.wall_point(k, 0, 0.01, 0.045), pose))
    return parts


def _windows(rng: Rng, plan: Floorplan) -> list[np.ndarray]:
    """One to three windows; the middle of each pane."""
    middles = []
    for _ in range(int(rng.integers(1, 4))):
        item = openings.window(rng, rng.uniform(1.0, 2.0), rng.uniform(1.0, 1.4))
        if plan.hang(rng, item, (0.75, 1.0)):
            middles.append(plan.targets[-1])
    return middles


def _decorate(rng: Rng, plan: Floorplan) -> None:
    """Pictures, shelves and perhaps a television on the walls."""
    if rng.random() < 0.35:
        plan.hang(rng, storage.television(rng, rng.uniform(0.9, 1.4), foot=False), (1.0, 1.4))
    for _ in range(int(rng.integers(0, 3))):
        plan.hang(rng, openings.wall_shelf(rng), (1.2, 1.6))
    for _ in range(int(rng.integers(3, 8))):
        plan.hang(rng, openings.picture(rng), (1.05, 1.5))


def _litter(rng: Rng, plan: Floorplan) -> None:
    """Objects, floor lamps and odd chairs on the floor."""
    if rng.random() < 0.5:
        plan.place(rng, clutter.lamp(rng, rng.uniform(1.3, 1.7)))
    for _ in range(int(rng.integers(2, 6))):
        plan.place(rng, clutter.thing(rng, rng.uniform(0.28, 0.55)))
    for _ in range(int(rng.integers(0, 3))):
        plan.place(rng, seats.chair(rng))


def _camouflage(rng: Rng, plan: Floorplan, shell: tuple[Material, ...]) -> None:
    """Give some furniture and more of the objects the floor's or the wall's own texture: only depth shows them."""
    for item in plan.items:
        label = plan.parts[item[0]].label
        if label in _FLAT or rng.random() > (0.3 if label == OBJECTS else 0.12):
            continue
        material = shell[int(rng.integers(len(shell)))]
        for k in item:
            if plan.parts[k].label == label:
                plan.parts[k] = replace(plan.parts[k], material=material)


def _rug(rng: Rng, plan: Floorplan) -> None:
    """A carpet of 8 mm: only color shows it."""
    size = np.minimum(rng.uniform(1.4, 3.0, 2), np.array([plan.width, plan.depth]) - 0.8)
    margin = size / 2 + 0.2
    x, y = rng.uniform(margin, np.array([plan.width, plan.depth]) - margin)
    plan.parts.append(box(FLOOR, materials.fabric(rng), (*size, 0.008), (x, y, 0.004)))
