# SPDX-License-Identifier: Apache-2.0
"""A small library of periodic patterns in [0, 1], the same in every process, with mip levels."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

SIZE = 256
LEVELS = 6

NAMES = (
    "plain", "plaster", "wood", "planks", "tiles", "brick", "carpet", "stripes", "checks", "plaid", "dots", "weave",
    "marble", "damask", "zigzag", "flowers", "bands", "parquet", "slats",
)  # fmt: skip
INDEX = {name: k for k, name in enumerate(NAMES)}


def noise(rng: np.random.Generator, slope: float = 1.5, stretch: float = 1.0, size: int = SIZE) -> np.ndarray:
    """Periodic noise with spectrum f^−slope, drawn out along x by `stretch`; float32 (size, size) in [0, 1]."""
    fy, fx = np.fft.fftfreq(size)[:, None] * size, np.fft.rfftfreq(size)[None] * size
    f = np.sqrt(fy**2 + (fx * stretch) ** 2)
    f[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * f**-slope, s=(size, size))
    field = (field - field.mean()) / field.std()
    return np.clip(0.5 + field / 5, 0, 1).astype(np.float32)


def _grid():
    v, u = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE
    return u, v


def _seams(u, v, width):
    """1 inside a unit cell, 0 within `width` of its edge."""
    fu, fv = u % 1, v % 1
    return ((np.minimum(fu, 1 - fu) > width) & (np.minimum(fv, 1 - fv) > width)).astype(np.float32)


def _wood(rng):
    _, v = _grid()
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (6 * v + 2.2 * noise(rng, 1.6, 5.0)))
    return 0.6 * rings + 0.4 * noise(rng, 0.8, 14.0)


def _planks(rng):
    u, v = _grid()
    rows = np.floor(v * 8).astype(int)
    shifted = u * 2 + rng.random(8)[rows]
    tone = rng.random((8, 3))[rows, np.floor(shifted).astype(int)]
    return (0.35 * _wood(rng) + 0.65 * tone) * (0.25 + 0.75 * _seams(shifted, v * 8, 0.03))


def _parquet(rng):
    u, v = _grid()
    cell = (np.floor(u * 4) + np.floor(v * 4)) % 2
    along = np.where(cell > 0, u, v)
    strip = np.floor(along * 16).astype(int)
    tone = rng.random((16, 16))[strip, (np.floor(u * 4) * 4 + np.floor(v * 4)).astype(int) % 16]
    seam = (np.abs(along * 16 % 1 - 0.5) < 0.45).astype(np.float32)
    return (0.3 * noise(rng, 1.0) + 0.7 * tone) * (0.4 + 0.6 * seam)


def _tiles(rng):
    u, v = _grid()
    tone = rng.random((4, 4))[np.floor(v * 4).astype(int), np.floor(u * 4).astype(int)]
    return _seams(u * 4, v * 4, 0.025) * (0.6 + 0.3 * tone + 0.1 * noise(rng))


def _brick(rng):
    u, v = _grid()
    rows = np.floor(v * 8).astype(int)
    shifted = u * 4 + 0.5 * (rows % 2)
    tone = rng.random((8, 5))[rows, np.floor(shifted).astype(int)]
    return _seams(shifted, v * 8, 0.06) * (0.45 + 0.35 * tone + 0.2 * noise(rng, 0.5))


def _plaid(rng):
    u, v = _grid()
    bands = rng.random(16).round(1)
    return 0.5 * (bands[np.floor(u * 16).astype(int)] + bands[np.floor(v * 16).astype(int)])


def _flowers(rng):
    u, v = _grid()
    out = np.zeros((SIZE, SIZE), np.float32)
    for _ in range(14):
        du, dv = (u - rng.random() + 0.5) % 1 - 0.5, (v - rng.random() + 0.5) % 1 - 0.5
        radius = rng.uniform(0.04, 0.1) * (0.7 + 0.3 * np.cos(5 * np.arctan2(dv, du) + rng.uniform(0, 6)))
        out = np.maximum(out, (np.hypot(du, dv) < radius) * rng.uniform(0.6, 1.0))
    return out


def _bands(rng):
    """Book spines and boxes: a few horizontal bands of different tone."""
    return np.repeat(rng.choice([0, 0, 0, 0.4, 0.8, 1.0], 32), SIZE // 32)[:, None] * np.ones((1, SIZE))


def _damask(u, v):
    return np.sin(4 * u) * np.sin(2 * v) + 0.6 * np.cos(8 * u) * np.cos(4 * v) > 0.25


def _draw(name: str, rng: np.random.Generator) -> np.ndarray:
    u, v = _grid()
    wave = 2 * np.pi
    makers = {
        "plain": lambda: 0.5 + 0.3 * (noise(rng, 1.0) - 0.5),
        "plaster": lambda: noise(rng, 1.2),
        "wood": lambda: _wood(rng),
        "planks": lambda: _planks(rng),
        "parquet": lambda: _parquet(rng),
        "tiles": lambda: _tiles(rng),
        "brick": lambda: _brick(rng),
        "carpet": lambda: noise(rng, 0.35),
        "stripes": lambda: (u * 8 % 1 < 0.5) * 0.9 + 0.1 * noise(rng),
        "checks": lambda: (np.floor(u * 8) + np.floor(v * 8)) % 2,
        "plaid": lambda: _plaid(rng),
        "dots": lambda: np.hypot((u * 8 + 0.5 * (np.floor(v * 8) % 2)) % 1 - 0.5, v * 8 % 1 - 0.5) < 0.25,
        "weave": lambda: 0.5 + 0.25 * np.sin(wave * 32 * u) + 0.25 * np.sin(wave * 32 * v) * noise(rng, 0.6) * 2,
        "marble": lambda: 1 - np.abs(np.sin(wave * (u + v + 2.5 * noise(rng, 1.8)))) ** 0.4,
        "damask": lambda: _damask(wave * u, wave * v),
        "zigzag": lambda: (v * 10 + 1.2 * np.abs(u * 8 % 1 - 0.5)) % 1 < 0.5,
        "flowers": lambda: _flowers(rng),
        "bands": lambda: _bands(rng),
        "slats": lambda: np.clip(1.3 - (v * 16 % 1), 0, 1),
    }  # fmt: skip
    return np.clip(np.asarray(makers[name](), np.float32), 0, 1)


@lru_cache(maxsize=1)
def atlas() -> tuple[np.ndarray, np.ndarray]:
    """All patterns at all mip levels, flat float32, and the int64 (len(NAMES), LEVELS) start of each."""
    tiles, starts, end = [], np.zeros((len(NAMES), LEVELS), np.int64), 0
    for k, name in enumerate(NAMES):
        tile = _draw(name, np.random.default_rng([77, k]))
        for level in range(LEVELS):
            starts[k, level] = end
            scaled = cv2.resize(tile, (SIZE >> level, SIZE >> level), interpolation=cv2.INTER_AREA)
            tiles.append(scaled.ravel())
            end += scaled.size
    return np.concatenate(tiles), starts


def sample(pattern: np.ndarray, u: np.ndarray, v: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """float32 pattern values at tile coordinates (u, v) (they wrap) for pixels that cover `footprint` tiles."""
    texels, starts = atlas()
    level = np.clip(np.ceil(np.log2(footprint * SIZE + 1e-6) - 0.3), 0, LEVELS - 1).astype(np.int64)
    side = SIZE >> level
    iu = np.floor(u * side).astype(np.int64) & (side - 1)
    iv = np.floor(v * side).astype(np.int64) & (side - 1)
    return texels[starts[pattern, level] + iv * side + iu]
