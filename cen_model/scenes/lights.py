# SPDX-License-Identifier: Apache-2.0
"""The lights of a room: ceiling lamps, windows and spots, each a small area that casts soft shadows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cen_model.scenes import materials
from cen_model.scenes.floorplan import Floorplan
from cen_model.scenes.items import OBJECTS, Material, Part, box, part

Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Light:
    """A parallelogram center ± u ± v (meters) that shines `power` (3,) linear RGB, falling off with distance.

    `facing` is the unit direction of a window's light (none behind it), or zero for a lamp that shines all around.
    """

    center: np.ndarray
    u: np.ndarray
    v: np.ndarray
    power: np.ndarray
    facing: np.ndarray = field(default_factory=lambda: np.zeros(3))


def _warmth(rng: Rng) -> np.ndarray:
    """Color of a light between candle and daylight."""
    t = rng.uniform(-1, 1)
    return np.array([1 + 0.14 * t, 1.0, 1 - 0.18 * t])


def room_lights(rng: Rng, plan: Floorplan, windows: list[np.ndarray]) -> tuple[list[Part], list[Light]]:
    """Visible lamp parts and at most three lights."""
    parts, lights = [], []
    for _ in range(int(rng.integers(1, 3))):
        x, y = rng.uniform(0.25, 0.75, 2) * (plan.width, plan.depth)
        lamp, drop = _ceiling_lamp(rng, x, y, plan.height)
        radius = rng.uniform(0.05, 0.3)
        center = np.array([x, y, plan.height - drop - 0.05])
        u, v = np.array([radius, 0, 0]), np.array([0, radius, 0])
        parts += lamp
        lights.append(Light(center, u, v, _warmth(rng) * rng.uniform(0.5, 1.2)))
    if windows and rng.random() < 0.7:
        lights.append(_daylight(rng, plan, windows[0]))
    if len(lights) == 1:
        corner = np.array([*(rng.uniform(0.1, 0.9, 2) * (plan.width, plan.depth)), rng.uniform(1.7, 2.2)])
        lights.append(Light(corner, np.array([0.1, 0, 0]), np.array([0, 0.1, 0]), _warmth(rng) * rng.uniform(0.3, 0.8)))
    return parts, lights


def _ceiling_lamp(rng: Rng, x: float, y: float, height: float) -> tuple[list[Part], float]:
    """A glowing panel, dome or hanging shade, and how far it reaches below the ceiling."""
    glow = Material(np.ones(3) * 0.9, np.ones(3) * 0.85, emission=1.5)
    kind = rng.random()
    if kind < 0.35:
        return [box(OBJECTS, glow, (0.6, 0.6, 0.05), (x, y, height - 0.025))], 0.06
    if kind < 0.7:
        return [part("sphere", OBJECTS, glow, (0.45, 0.45, 0.2), (x, y, height))], 0.12
    drop, shade = rng.uniform(0.45, 0.7), materials.paint(rng)
    cord = part("cylinder", OBJECTS, materials.metal(rng), (0.02, 0.02, drop), (x, y, height - drop / 2))
    return [cord, part("shade", OBJECTS, shade, (0.45, 0.45, 0.22), (x, y, height - drop + 0.11))], drop


def _daylight(rng: Rng, plan: Floorplan, middle: np.ndarray) -> Light:
    """Light through the window around `middle`, 0.25 m inside the room to clear the curtains."""
    inward = np.array([plan.width / 2, plan.depth / 2, middle[2]]) - middle
    axis = int(np.argmin([min(middle[0], plan.width - middle[0]), min(middle[1], plan.depth - middle[1])]))
    step = np.zeros(3)
    step[axis] = np.sign(inward[axis])
    side = np.zeros(3)
    side[1 - axis] = 0.45
    power = np.array([0.92, 1.0, 1.12]) * rng.uniform(0.8, 2.4)
    return Light(middle + 0.25 * step, side, np.array([0, 0, 0.45]), power, step)
