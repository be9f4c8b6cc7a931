# SPDX-License-Identifier: Apache-2.0
"""Tables, cabinets, wardrobes, bookshelves and television sets."""

from __future__ import annotations

import numpy as np

from cen_model.scenes import artwork, materials
from cen_model.scenes.clutter import book_row, on_top, thing
from cen_model.scenes.items import FURNITURE, TABLE, TV, Item, Material, Part, box, legs, part

Rng = np.random.Generator


def table(rng: Rng, width: float, depth: float, height: float) -> Item:
    """A square or round top on legs or a column, with things on it."""
    body, top = materials.hard(rng), rng.uniform(0.03, 0.06)
    z, round_top = height - top / 2, abs(width - depth) < 0.15
    mesh = "cylinder" if round_top else "box"
    parts = [part(mesh, TABLE, body, (width, depth, top), (0, 0, z))]
    if round_top:
        parts.append(part("cylinder", TABLE, body, (0.1, 0.1, height - top), (0, 0, (height - top) / 2)))
        parts.append(part("cylinder", TABLE, body, (width * 0.5, width * 0.5, 0.04), (0, 0, 0.02)))
    else:
        thick, leg = rng.uniform(0.05, 0.09), body if rng.random() < 0.5 else materials.hard(rng)
        parts += legs(TABLE, leg, width - 0.06, depth - 0.06, height - top, thick)
        parts.append(box(TABLE, leg, (width - 0.14, depth - 0.14, 0.09), (0, 0, height - top - 0.045)))
    room = 0.65 if round_top else 1.0
    parts += on_top(rng, width * room, depth * room, height, int(rng.integers(1, 4)))
    return Item(parts, (width, depth, height))


def desk(rng: Rng) -> Item:
    """A table at the wall, a monitor on it most of the time."""
    width, depth, height = rng.uniform(1.1, 1.7), rng.uniform(0.6, 0.8), rng.uniform(0.72, 0.78)
    item = table(rng, width, depth, height)
    if rng.random() < 0.35:
        return item
    bare = [p for p in item.parts if p.label == TABLE]
    left = on_top(rng, width / 3, depth * 0.8, height, 1)
    shift = np.array([-width / 3, 0.0, 0.0])
    screen = television(rng, rng.uniform(0.55, 0.75)).moved(np.eye(3), np.array([width * 0.1, -depth * 0.2, height]))
    return Item(bare + screen + [p.moved(np.eye(3), shift) for p in left], (width, depth, height + 0.5))


def television(rng: Rng, width: float, foot: bool = True) -> Item:
    """A thin dark frame around a screen, on a foot or (foot=False) to be hung, standing on z = 0."""
    height, rim = width * 0.58, 0.02
    lift = 0.07 if foot else 0.0
    case = materials.paint(rng, materials.hsv(0, 0, rng.choice([0.08, 0.12, 0.6])), 0.2)
    image = artwork.screen(rng)
    glow = 1.0 if image.mean() > 0.05 else 0.0
    z = lift + height / 2
    parts = [
        box(TV, case, (width, 0.05, height), (0, 0, z)),
        box(TV, materials.decal(image, 0.3, glow), (width - 2 * rim, 0.01, height - 2 * rim), (0, 0.026, z)),
    ]
    if foot:
        parts.append(box(TV, case, (width * 0.4, 0.2, 0.02), (0, 0, 0.01)))
        parts.append(box(TV, case, (0.08, 0.05, lift), (0, -0.01, lift / 2)))
    return Item(parts, (width, 0.2 if foot else 0.06, height + lift))


def _fronts(rng: Rng, body: Material, size: tuple[float, float, float], columns: int, rows: int) -> list[Part]:
    """Doors or drawers with handles on the front of a (width, depth, height) body."""
    face = body if rng.random() < 0.6 else materials.hard(rng)
    handle, parts = materials.metal(rng), []
    width, depth, z0 = size[0], size[1], 0.08
    w, h = width / columns, (size[2] - 0.02 - z0) / rows
    for i in range(columns):
        for j in range(rows):
            x, z = -width / 2 + (i + 0.5) * w, z0 + (j + 0.5) * h
            parts.append(box(FURNITURE, face, (w - 0.02, 0.03, h - 0.02), (x, depth / 2 - 0.015, z)))
            grip = (0.14, 0.03, 0.025) if w > h else (0.025, 0.03, 0.14)
            x += 0.0 if w > h else (w / 2 - 0.06) * (1 if i % 2 == 0 else -1)
            parts.append(box(FURNITURE, handle, grip, (x, depth / 2 + 0.012, z)))
    return parts


def cabinet(rng: Rng, width: float, depth: float, height: float, columns: int, rows: int) -> Item:
    """Nightstand, dresser, sideboard or wardrobe, by its proportions."""
    body = materials.hard(rng)
    parts = [box(FURNITURE, body, (width, depth - 0.03, height - 0.06), (0, -0.015, height / 2 + 0.03))]
    parts += _fronts(rng, body, (width, depth, height), columns, rows)
    parts.append(box(FURNITURE, body, (width + 0.02, depth + 0.01, 0.03), (0, 0, height)))
    parts += legs(FURNITURE, body, width, depth - 0.04, 0.08, 0.06)
    return Item(parts, (width + 0.02, depth + 0.01, height))


def dresser(rng: Rng) -> Item:
    width, height = rng.uniform(0.8, 1.6), rng.uniform(0.7, 1.05)
    item = cabinet(rng, width, rng.uniform(0.4, 0.5), height, int(rng.integers(1, 4)), int(rng.integers(1, 5)))
    return Item(item.parts + on_top(rng, width, 0.36, height + 0.015, int(rng.integers(1, 4))), item.size)


def nightstand(rng: Rng) -> Item:
    height = rng.uniform(0.45, 0.6)
    item = cabinet(rng, rng.uniform(0.42, 0.55), 0.4, height, 1, int(rng.integers(1, 4)))
    return Item(item.parts + on_top(rng, 0.4, 0.36, height + 0.015, 1), item.size)


def wardrobe(rng: Rng) -> Item:
    size = (rng.uniform(0.9, 1.8), rng.uniform(0.5, 0.62), rng.uniform(1.8, 2.15))
    return cabinet(rng, *size, int(rng.integers(2, 4)), 1)


def tv_unit(rng: Rng) -> Item:
    """A low cabinet with a television on it."""
    width, height = rng.uniform(1.3, 1.9), rng.uniform(0.4, 0.6)
    base = cabinet(rng, width, 0.45, height, int(rng.integers(2, 4)), 1)
    screen = television(rng, rng.uniform(0.95, min(1.45, width)))
    parts = base.parts + screen.moved(np.eye(3), np.array([0, -0.05, height + 0.015]))
    return Item(parts, (*base.size[:2], height + 0.9))


def bookshelf(rng: Rng) -> Item:
    """Boards between two sides, rows of books, some gaps and some objects; with or without a back."""
    width, depth, shelves = rng.uniform(0.8, 1.7), 0.28, int(rng.integers(3, 6))
    pitch, body = rng.uniform(0.3, 0.38), materials.hard(rng)
    height = 0.08 + shelves * pitch
    x = (width - 0.03) / 2
    parts = [box(FURNITURE, body, (0.03, depth, height), (side * x, 0, height / 2)) for side in (-1, 1)]
    parts.append(box(FURNITURE, body, (width, 0.015, height), (0, -depth / 2 + 0.01, height / 2)))
    for k in range(shelves + 1):
        z = 0.06 + k * pitch
        parts.append(box(FURNITURE, body, (width - 0.06, depth, 0.03), (0, 0, z)))
        if k < shelves:
            parts += _shelf(rng, width / 2 - 0.04, z + 0.016, pitch - 0.04)
    return Item(parts, (width, depth, height + 0.02))


def _shelf(rng: Rng, half: float, z: float, room: float) -> list[Part]:
    kind = rng.random()
    if kind < 0.08:
        return []
    if kind < 0.2:
        return thing(rng, room * 0.45).moved(np.eye(3), np.array([rng.uniform(-0.6, 0.6) * half, 0, z]))
    end = half if kind < 0.65 else rng.uniform(-0.2, 0.9) * half
    return book_row(rng, -half, end, 0.0, z, room)
