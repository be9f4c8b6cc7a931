# SPDX-License-Identifier: Apache-2.0
"""Objects that stand on floors and tops (boxes, balls, vases, plants, lamps, bags …); books in rows and piles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cen_model.scenes import materials
from cen_model.scenes.items import BOOKS, OBJECTS, Item, Material, Part, box, part, turn

Rng = np.random.Generator


def _carton(rng: Rng, size: float, material: Material) -> Item:
    w, d, h = size * rng.uniform(0.7, 1.3, 3)
    return Item([box(OBJECTS, material, (w, d, h), (0, 0, h / 2))], (w, d, h))


def _ball(rng: Rng, size: float, material: Material) -> Item:
    return Item([part("sphere", OBJECTS, material, (size,) * 3, (0, 0, size / 2))], (size,) * 3)


def _bin(rng: Rng, size: float, material: Material) -> Item:
    w, h = size * rng.uniform(0.6, 0.9), size * rng.uniform(0.9, 1.5)
    mesh = str(rng.choice(["cylinder", "pot"]))
    return Item([part(mesh, OBJECTS, material, (w, w, h), (0, 0, h / 2))], (w, w, h))


def _vase(rng: Rng, size: float, material: Material) -> Item:
    w, h = size * rng.uniform(0.5, 0.8), size * rng.uniform(1.0, 1.4)
    shiny = replace(material, gloss=0.25)
    return Item([part("vase", OBJECTS, shiny, (w, w, h), (0, 0, h / 2))], (w, w, h))


def _bag(rng: Rng, size: float, material: Material) -> Item:
    w, d, h = size * rng.uniform(0.8, 1.2), size * rng.uniform(0.4, 0.6), size * rng.uniform(0.8, 1.3)
    body = part("rounded", OBJECTS, material, (w, d, h), (0, 0, h / 2))
    return Item([body, box(OBJECTS, material, (w / 2, 0.03, 0.05), (0, 0, h))], (w, d, h))


def _plant(rng: Rng, size: float, material: Material) -> Item:
    """A pot with a crown of leaves."""
    pot, height = size * 0.8, size * rng.uniform(1.8, 2.6)
    green = materials.hsv(rng.uniform(0.22, 0.42), rng.uniform(0.4, 0.8), rng.uniform(0.25, 0.6))
    leaf = materials.paint(rng, green, 0.05)
    parts = [part("pot", OBJECTS, material, (pot, pot, size * 0.8), (0, 0, size * 0.4))]
    for k in range(12):
        angle, lean = k * 2.4 + rng.uniform(-0.3, 0.3), rng.uniform(0.25, 1.1)
        length = (height - size * 0.7) * rng.uniform(0.7, 1.0)
        pose = turn(angle) @ _lean(lean)
        blade = (length * 0.28, length * 0.06, length)
        parts.append(part("leaf", OBJECTS, leaf, blade, pose @ (0, 0, length / 2) + (0, 0, size * 0.7), pose))
    return Item(parts, (size * 1.4, size * 1.4, height))


def _lean(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, s], [0.0, -s, c]])


def _toy(rng: Rng, size: float, material: Material) -> Item:
    """A body, a head and two ears."""
    ear = np.full(3, 0.28)
    spheres = [
        ((1, 0.9, 1), (0, 0, 0.5)),
        ((0.7,) * 3, (0, 0.05, 1.2)),
        (ear, (-0.27, 0.05, 1.5)),
        (ear, (0.27, 0.05, 1.5)),
    ]
    parts = [part("leaf", OBJECTS, material, size * np.array(s), size * np.array(c)) for s, c in spheres]
    return Item(parts, (size, size, size * 1.6))


def lamp(rng: Rng, height: float) -> Item:
    """Foot, pole and a shade that glows a little."""
    metal, width = materials.metal(rng), min(0.5, height * rng.uniform(0.3, 0.6))
    shade = replace(materials.paint(rng, materials.any_color(rng) * 0.5 + 0.4), emission=float(rng.choice([0.0, 0.8])))
    parts = [
        part("cylinder", OBJECTS, metal, (width * 0.7, width * 0.7, 0.03), (0, 0, 0.015)),
        part("cylinder", OBJECTS, metal, (0.04, 0.04, height * 0.75), (0, 0, height * 0.375)),
        part("shade", OBJECTS, shade, (width, width, height * 0.28), (0, 0, height * 0.86)),
    ]
    return Item(parts, (width, width, height))


_KINDS = (_carton, _carton, _ball, _bin, _vase, _bag, _plant, _toy)


def thing(rng: Rng, size: float) -> Item:
    """One object about `size` meters wide."""
    material = materials.fabric(rng) if rng.random() < 0.4 else materials.hard(rng)
    item = _KINDS[int(rng.integers(len(_KINDS)))](rng, size, material)
    reach = float(np.hypot(item.size[0], item.size[1]))
    return Item(item.moved(turn(rng.uniform(0, 6.3)), np.zeros(3)), (reach, reach, item.size[2]))


def book_row(rng: Rng, x0: float, x1: float, y: float, z: float, room: float) -> list[Part]:
    """Upright books from x0 to x1 with their spines at y + depth/2, at most `room` high."""
    parts, x, tall = [], x0, room * rng.uniform(0.7, 0.92)
    while x < x1 - 0.03:
        thick = min(rng.uniform(0.025, 0.06), x1 - x)
        h, d = tall * rng.uniform(0.78, 1.0), rng.uniform(0.15, 0.2)
        middle = (x + thick / 2, y + (d - 0.2) / 2, z + h / 2)
        parts.append(box(BOOKS, materials.spine(rng), (thick - 0.002, d, h), middle))
        x += thick
    return parts


def book_pile(rng: Rng) -> Item:
    """Books lying on each other."""
    parts, z = [], 0.0
    for _ in range(int(rng.integers(3, 8))):
        size = (rng.uniform(0.2, 0.3), rng.uniform(0.26, 0.36), rng.uniform(0.025, 0.06))
        parts.append(box(BOOKS, materials.spine(rng), size, (0, 0, z + size[2] / 2), turn(rng.normal(0, 0.2))))
        z += size[2]
    return Item(parts, (0.4, 0.4, z))


def on_top(rng: Rng, width: float, depth: float, z: float, count: int) -> list[Part]:
    """Up to `count` things side by side on a width × depth top at height z, in the item's frame."""
    parts, slot = [], width / max(count, 1)
    for k in range(count):
        kind, size = rng.random(), min(rng.uniform(0.14, 0.32), 0.7 * slot, 0.7 * depth)
        item = book_pile(rng) if kind < 0.3 else lamp(rng, rng.uniform(0.4, 0.6)) if kind < 0.45 else thing(rng, size)
        if item.size[0] > slot or item.size[1] > depth:
            continue
        x = -width / 2 + (k + 0.5) * slot
        free = (depth - item.size[1]) / 2
        parts += item.moved(turn(rng.normal(0, 0.3)), np.array([x, rng.uniform(-free, free), z]))
    return parts
