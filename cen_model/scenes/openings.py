# SPDX-License-Identifier: Apache-2.0
"""What hangs on walls: pictures, posters, windows with curtains or blinds, shelves; and doors. Items stand on z = 0."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cen_model.scenes import artwork, materials, patterns
from cen_model.scenes.clutter import book_row, on_top
from cen_model.scenes.items import FURNITURE, PICTURE, WALL, WINDOW, Item, Part, box, part

Rng = np.random.Generator


def _frame(label: int, material, width: float, height: float, thick: float, rim: float) -> list[Part]:
    """Four bars around a width × height opening."""
    bars = [box(label, material, (width, thick, rim), (0, 0, z)) for z in (rim / 2, height - rim / 2)]
    return bars + [box(label, material, (rim, thick, height), (s * (width - rim) / 2, 0, height / 2)) for s in (-1, 1)]


def picture(rng: Rng) -> Item:
    """A framed picture or a poster a few millimeters thick: a depth camera cannot tell it from the wall."""
    width, height = rng.uniform(0.55, 1.4), rng.uniform(0.5, 1.0)
    thick = 0.006 if rng.random() < 0.5 else rng.uniform(0.012, 0.025)
    art = materials.decal(artwork.picture(rng))
    parts = [box(PICTURE, art, (width, thick, height), (0, 0, height / 2))]
    if thick > 0.01:
        rim = rng.uniform(0.025, 0.06)
        parts += _frame(PICTURE, materials.hard(rng), width + 0.02, height + 0.02, thick + 0.012, rim)
    return Item(parts, (width + 0.02, thick, height + 0.02))


def window(rng: Rng, width: float, height: float) -> Item:
    """A pane with the view outside, bars, a sill, and often curtains or blinds."""
    outside = artwork.view(rng)
    glow = 2.0 if outside.mean() > 0.2 else 0.3
    pane = materials.decal(outside, 0.25, glow)
    bar = materials.paint(rng, materials.hsv(0.1, 0.05, 0.92)) if rng.random() < 0.6 else materials.hard(rng)
    parts = [box(WINDOW, pane, (width, 0.01, height), (0, 0, height / 2))]
    parts += _frame(WINDOW, bar, width + 0.1, height + 0.06, 0.07, 0.07)
    for x in np.linspace(-width / 2, width / 2, int(rng.integers(2, 5)))[1:-1]:
        parts.append(box(WINDOW, bar, (0.05, 0.05, height), (x, 0, height / 2)))
    parts.append(box(WINDOW, bar, (width + 0.16, 0.14, 0.03), (0, 0.06, 0.0)))
    kind = rng.random()
    if kind < 0.5:
        parts += _curtains(rng, width, height)
    elif kind < 0.7:
        parts.append(_blind(rng, width, height))
    return Item(parts, (width + 0.3, 0.1, height + 0.1))


def _curtains(rng: Rng, width: float, height: float) -> list[Part]:
    """Two wavy sheets and a rail; in NYU-13 curtains are windows."""
    cloth, drop = materials.fabric(rng), height + rng.uniform(0.15, 0.55)
    w = width * rng.uniform(0.18, 0.36)
    top, x = height + 0.12, width / 2 - w / 2 + 0.12
    sheets = [part("curtain", WINDOW, cloth, (w, 0.12, drop), (s * x, 0.1, top - drop / 2)) for s in (-1, 1)]
    return [*sheets, box(WINDOW, materials.metal(rng), (width + 0.34, 0.03, 0.03), (0, 0.1, top))]


def _blind(rng: Rng, width: float, height: float) -> Part:
    drop, color = height * rng.uniform(0.3, 0.95), materials.any_color(rng) * 0.6 + 0.3
    slats = replace(materials.paint(rng, color), color2=color * 0.45, pattern=patterns.INDEX["slats"], tile=0.7)
    return box(WINDOW, slats, (width, 0.02, drop), (0, 0.05, height - drop / 2))


def wall_shelf(rng: Rng) -> Item:
    """A board with a row of books or some objects."""
    width = rng.uniform(0.8, 1.5)
    parts = [box(FURNITURE, materials.hard(rng), (width, 0.24, 0.035), (0, 0, 0.0175))]
    if rng.random() < 0.75:
        parts += book_row(rng, -width / 2, width / 2 * rng.uniform(0.2, 1.0), 0.0, 0.036, 0.3)
    else:
        parts += on_top(rng, width, 0.24, 0.036, 3)
    return Item(parts, (width, 0.24, 0.35))


def door(rng: Rng) -> Item:
    """A leaf, its frame and a handle; NYU-13 counts doors as wall."""
    leaf = materials.hard(rng)
    frame = _frame(WALL, materials.paint(rng), 1.0, 2.08, 0.06, 0.07)
    parts = [box(WALL, leaf, (0.86, 0.03, 2.0), (0, 0, 1.0)), *frame]
    parts += [box(WALL, leaf, (0.6, 0.045, h), (0, 0, z)) for h, z in ((0.7, 0.5), (0.8, 1.45))]
    parts.append(box(WALL, materials.metal(rng), (0.13, 0.08, 0.03), (0.33, 0.04, 1.0)))
    return Item(parts, (1.0, 0.06, 2.1))
