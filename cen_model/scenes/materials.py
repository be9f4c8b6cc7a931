# SPDX-License-Identifier: Apache-2.0
"""Random materials: paint, wood, fabric, floors, walls. Colors are linear RGB in [0, 1] and tell no class."""

from __future__ import annotations

import colorsys

import numpy as np

from cen_model.scenes import patterns
from cen_model.scenes.items import Material

Rng = np.random.Generator


def linear(color) -> np.ndarray:
    """Display (gamma 2.2) to linear."""
    return np.asarray(color, np.float64) ** 2.2


def hsv(h: float, s: float, v: float) -> np.ndarray:
    return linear(colorsys.hsv_to_rgb(h % 1.0, s, v))


def any_color(rng: Rng) -> np.ndarray:
    """Mostly muted, sometimes bold, sometimes near white or black."""
    kind = rng.random()
    if kind < 0.2:
        return hsv(rng.random(), rng.uniform(0, 0.12), rng.uniform(0.75, 0.95))
    if kind < 0.32:
        return hsv(rng.random(), rng.uniform(0, 0.25), rng.uniform(0.12, 0.3))
    if kind < 0.44:
        return hsv(rng.random(), rng.uniform(0.5, 0.85), rng.uniform(0.45, 0.85))
    return hsv(rng.random(), rng.uniform(0.15, 0.5), rng.uniform(0.35, 0.85))


def _patterned(color, color2, name: str, tile: float, gloss: float = 0.0) -> Material:
    return Material(color, color2, patterns.INDEX[name], tile, gloss)


def paint(rng: Rng, color: np.ndarray | None = None, gloss: float | None = None) -> Material:
    """One color with a faint grain."""
    color = any_color(rng) if color is None else color
    gloss = rng.choice([0.0, 0.05, 0.15]) if gloss is None else gloss
    return _patterned(color * 0.92, np.minimum(color * 1.06, 1), "plain", rng.uniform(0.5, 1.5), gloss)


def wood(rng: Rng) -> Material:
    """From pale birch to near-black."""
    color = hsv(rng.uniform(0.05, 0.11), rng.uniform(0.3, 0.65), rng.uniform(0.25, 0.85))
    dark = color * rng.uniform(0.45, 0.7)
    return _patterned(dark, color, "wood", rng.uniform(0.5, 1.2), rng.choice([0.0, 0.08]))


def hard(rng: Rng) -> Material:
    """What cabinets, tables and frames are made of."""
    return wood(rng) if rng.random() < 0.5 else paint(rng)


def fabric(rng: Rng) -> Material:
    """What beds, sofas, cushions, rugs and curtains are covered with."""
    names = ["plain", "weave", "weave", "carpet", "stripes", "checks", "plaid", "dots", "damask", "zigzag", "flowers"]
    name = str(rng.choice(names))
    color = any_color(rng)
    second = color * rng.uniform(0.6, 0.85) if rng.random() < 0.4 else any_color(rng)
    if name in ("plain", "weave", "carpet"):
        second = color * rng.uniform(0.6, 0.85)
    return _patterned(color, second, name, rng.uniform(0.35, 1.0))


def metal(rng: Rng) -> Material:
    color = hsv(rng.random(), rng.uniform(0, 0.1), rng.choice([0.2, 0.5, 0.75]))
    return paint(rng, color, gloss=0.35)


def floor(rng: Rng) -> Material:
    """Planks, parquet, tiles, carpet or marble."""
    name = str(rng.choice(["planks", "planks", "parquet", "tiles", "carpet", "carpet", "marble", "checks"]))
    if name in ("planks", "parquet"):
        color = hsv(rng.uniform(0.04, 0.11), rng.uniform(0.2, 0.65), rng.uniform(0.3, 0.85))
        dark = color * rng.uniform(0.3, 0.6)
        return _patterned(dark, color, name, rng.uniform(1.0, 1.8), rng.choice([0.0, 0.08]))
    color = hsv(rng.random(), rng.uniform(0.0, 0.4), rng.uniform(0.3, 0.85))
    dark = color * rng.uniform(0.3, 0.75)
    if name == "carpet":
        return _patterned(dark, color, name, rng.uniform(0.4, 0.9))
    return _patterned(dark, color, name, rng.uniform(1.0, 2.0), 0.1)


def wall(rng: Rng) -> Material:
    """Mostly light paint; some wallpaper, brick, wood paneling or a strong color."""
    kind = rng.random()
    saturation = rng.uniform(0, 0.2) if kind < 0.75 else rng.uniform(0.25, 0.6)
    color = hsv(rng.random(), saturation, rng.uniform(0.55, 0.95))
    if kind < 0.55 or kind > 0.9:
        return _patterned(color * 0.88, np.minimum(color * 1.04, 1), "plaster", rng.uniform(1.5, 3.0))
    if kind < 0.63:
        bricks = hsv(rng.uniform(0, 0.08), 0.45, 0.65)
        return _patterned(hsv(0.08, 0.1, 0.7), bricks, "brick", rng.uniform(0.8, 1.0))
    name = str(rng.choice(["stripes", "damask", "flowers", "dots", "planks", "zigzag"]))
    return _patterned(color, color * rng.uniform(0.6, 0.9), name, rng.uniform(0.6, 1.4))


def ceiling(rng: Rng) -> Material:
    color = hsv(rng.random(), rng.uniform(0, 0.1), rng.uniform(0.75, 0.97))
    if rng.random() < 0.15:
        return _patterned(color * 0.6, color, "planks", 1.5)
    return _patterned(color * 0.93, color, "plaster", 2.0)


def decal(image: np.ndarray, gloss: float = 0.0, emission: float = 0.0) -> Material:
    """`image` float32 (h, w, 3) linear in [0, 1] on the front face; the other faces take its mean color."""
    mean = image.reshape(-1, 3).mean(axis=0).astype(np.float64)
    return Material(mean, mean, 0, 1.0, gloss, emission, image)


def spine(rng: Rng) -> Material:
    """A book's cover: one color with bands across the spine."""
    color = any_color(rng)
    return _patterned(color, any_color(rng), "bands", rng.uniform(0.3, 0.6))
