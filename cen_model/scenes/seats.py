# SPDX-License-Identifier: Apache-2.0
"""Beds, sofas and chairs."""

from __future__ import annotations

import numpy as np

from cen_model.scenes import materials
from cen_model.scenes.items import BED, CHAIR, OBJECTS, SOFA, Item, box, legs, part, tilt, turn

Rng = np.random.Generator


def bed(rng: Rng) -> Item:
    """Headboard at the wall; pillows carry the label of NYU-13's pillow: objects."""
    width, length, frame = rng.uniform(1.0, 1.9), rng.uniform(1.95, 2.15), rng.uniform(0.2, 0.35)
    top, body, sheet = frame + rng.uniform(0.15, 0.25), materials.hard(rng), materials.fabric(rng)
    head = rng.uniform(0.75, 1.25)
    front = 0.06 - length / 2
    parts = [
        box(BED, body, (width, length, frame - 0.06), (0, 0, frame / 2 + 0.03)),
        box(BED, body, (width + 0.08, 0.07, head), (0, -length / 2 + 0.035, head / 2)),
        part("rounded", BED, sheet, (width, length - 0.08, top - frame + 0.1), (0, 0.04, (top + frame) / 2 - 0.05)),
    ]
    if rng.random() < 0.8:
        cover = length * rng.uniform(0.45, 0.68)
        size, middle = (
            (width + 0.06, cover, top - frame + 0.2),
            (0, (length - cover) / 2 + 0.04, (top + frame) / 2 - 0.06),
        )
        parts.append(part("rounded", BED, materials.fabric(rng), size, middle))
    if rng.random() < 0.35:
        parts.append(box(BED, body, (width + 0.08, 0.06, top + 0.1), (0, length / 2 + 0.03, (top + 0.1) / 2)))
    parts += _pillows(rng, width, front + 0.25, top)
    return Item(parts, (width + 0.1, length + 0.06, head))


def _pillows(rng: Rng, width: float, y: float, z: float):
    count, cover = (2 if width > 1.35 else 1), materials.fabric(rng)
    parts = []
    for k in range(count):
        x = (k - (count - 1) / 2) * width / count
        size = (min(0.7, width / count - 0.08), rng.uniform(0.38, 0.5), rng.uniform(0.14, 0.2))
        pose = turn(rng.normal(0, 0.1)) @ tilt(rng.uniform(-0.6, -0.1))
        parts.append(part("cushion", OBJECTS, cover, size, (x, y, z + 0.1), pose))
    return parts


def sofa(rng: Rng) -> Item:
    """Base, back, two arms, seat and back cushions, perhaps a chaise and throw pillows."""
    width, depth, seat = rng.uniform(1.5, 2.3), rng.uniform(0.85, 1.0), rng.uniform(0.38, 0.46)
    back, arm, arm_height = rng.uniform(0.75, 0.95), rng.uniform(0.12, 0.26), rng.uniform(0.54, 0.66)
    cover = materials.fabric(rng)
    cushion = cover if rng.random() < 0.6 else materials.fabric(rng)
    inner = width - 2 * arm
    parts = [
        part("rounded", SOFA, cover, (width, depth, seat - 0.16), (0, 0, seat / 2 - 0.02)),
        part("rounded", SOFA, cover, (width, 0.24, back - 0.06), (0, -depth / 2 + 0.12, back / 2 + 0.04)),
    ]
    for side in (-1, 1):
        x = side * (width - arm) / 2
        parts.append(part("rounded", SOFA, cover, (arm, depth, arm_height - 0.06), (x, 0, arm_height / 2 + 0.04)))
    count = 3 if inner > 1.6 else 2
    for k in range(count):
        x, w = (k - (count - 1) / 2) * inner / count, inner / count - 0.01
        parts.append(part("rounded", SOFA, cushion, (w, depth - 0.2, 0.18), (x, 0.12, seat)))
        middle = (x, -depth / 2 + 0.3, seat + 0.24)
        parts.append(part("cushion", SOFA, cushion, (w, 0.24, back - seat), middle, tilt(0.2)))
    parts += _throw_pillows(rng, inner, -depth / 2 + 0.45, seat + 0.28)
    parts += legs(SOFA, materials.wood(rng), width - 0.1, depth - 0.1, 0.1, 0.05)
    return Item(parts, (width, depth, back))


def _throw_pillows(rng: Rng, width: float, y: float, z: float):
    parts = []
    for side in (-1, 1):
        if rng.random() < 0.5:
            edge, pose = rng.uniform(0.38, 0.5), turn(rng.normal(0, 0.3)) @ tilt(rng.uniform(0.2, 0.5))
            x = side * (width / 2 - 0.25)
            parts.append(part("cushion", OBJECTS, materials.fabric(rng), (edge, 0.16, edge), (x, y, z), pose))
    return parts


def chair(rng: Rng) -> Item:
    return _office_chair(rng) if rng.random() < 0.35 else _plain_chair(rng)


def _plain_chair(rng: Rng) -> Item:
    """Four legs, a seat and a full or slatted back."""
    width, depth, seat = rng.uniform(0.42, 0.54), rng.uniform(0.42, 0.5), rng.uniform(0.43, 0.49)
    height, thick, frame = rng.uniform(0.85, 1.08), rng.uniform(0.035, 0.06), materials.hard(rng)
    cover = frame if rng.random() < 0.4 else materials.fabric(rng)
    y = -depth / 2 + thick / 2
    parts = legs(CHAIR, frame, width, depth, seat - 0.03, thick)
    parts.append(box(CHAIR, cover, (width, depth, 0.06), (0, 0, seat - 0.02)))
    rise = height - seat
    if rng.random() < 0.55:
        parts.append(box(CHAIR, cover, (width, 0.04, rise * 0.8), (0, y, seat + rise * 0.6), tilt(0.12)))
    else:
        for z in np.linspace(seat + 0.16, height - 0.06, 3):
            parts.append(box(CHAIR, cover, (width, 0.03, 0.09), (0, y, z)))
    for side in (-1, 1):
        x = side * (width - thick) / 2
        parts.append(box(CHAIR, frame, (thick, thick, rise), (x, y, seat + rise / 2)))
    return Item(parts, (width, depth, height))


def _office_chair(rng: Rng) -> Item:
    """Star base, column, upholstered seat and back, perhaps arms."""
    seat, width = rng.uniform(0.45, 0.52), rng.uniform(0.48, 0.56)
    cover, base = materials.fabric(rng), materials.metal(rng)
    parts = [
        part("cylinder", CHAIR, base, (0.07, 0.07, seat - 0.1), (0, 0, seat / 2)),
        part("rounded", CHAIR, cover, (width, 0.5, 0.12), (0, 0.02, seat)),
        part("rounded", CHAIR, cover, (width - 0.04, 0.1, 0.6), (0, -0.25, seat + 0.4), tilt(0.12)),
    ]
    for angle in np.arange(5) * 2 * np.pi / 5:
        arm = turn(angle)
        parts.append(box(CHAIR, base, (0.06, 0.3, 0.05), arm @ (0, 0.15, 0.06), arm))
    if rng.random() < 0.6:
        for side in (-1, 1):
            x = side * (width / 2 + 0.02)
            parts.append(box(CHAIR, base, (0.05, 0.34, 0.04), (x, 0, seat + 0.22)))
            parts.append(box(CHAIR, base, (0.04, 0.05, 0.24), (x, 0, seat + 0.1)))
    return Item(parts, (0.62, 0.62, seat + 0.7))
