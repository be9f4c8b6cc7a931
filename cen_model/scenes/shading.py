# SPDX-License-Identifier: Apache-2.0
"""Albedo from materials; light from several soft-shadowed lights and an ambient term with occlusion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cen_model.scenes import patterns
from cen_model.scenes.items import Material, Part
from cen_model.scenes.lights import Light
from cen_model.scenes.raycast import Caster, Hits, dot

TILE = 5
"""Soft shadows take one of TILE² stratified samples per pixel, repeating over the image, and average over a tile."""


@dataclass(frozen=True, eq=False)
class Surface:
    """Per hit: albedo float32 (N, 3) linear, gloss (N,), emission (N,)."""

    albedo: np.ndarray
    gloss: np.ndarray
    emission: np.ndarray


def surface(parts: list[Part], caster: Caster, hits: Hits, footprint: np.ndarray) -> Surface:
    """Materials looked up where rays hit. `footprint` (N,) is the width of a pixel there in meters."""
    chosen = hits.part
    axes = caster.rotations.take(chosen, axis=0)
    local, facing = _into(axes, hits.points - caster.centers.take(chosen, axis=0)), _into(axes, hits.normals)
    table = [p.material for p in parts]
    tile = np.array([m.tile for m in table], np.float32)[chosen]
    u, v = _box_map(local, facing)
    offset = (chosen * 0.618).astype(np.float32)
    pattern = np.array([m.pattern for m in table])[chosen]
    mix = patterns.sample(pattern, u / tile + offset, v / tile + 0.5 * offset, footprint / tile)[:, None]
    first = np.array([m.color for m in table], np.float32).take(chosen, axis=0)
    second = np.array([m.color2 for m in table], np.float32).take(chosen, axis=0)
    albedo = first + (second - first) * mix
    _stamp_decals(albedo, table, chosen, local / caster.sizes.take(chosen, axis=0), facing)
    gloss = np.array([m.gloss for m in table], np.float32)[chosen]
    emission = np.array([m.emission for m in table], np.float32)[chosen]
    return Surface(albedo, gloss, emission)


def _into(axes: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """World vectors (N, 3) in the frames whose axes are the columns of (N, 3, 3)."""
    return np.stack([dot(axes[:, :, k], vectors) for k in range(3)], axis=1)


def _box_map(local: np.ndarray, facing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Texture coordinates in meters: the two local axes that the face spans."""
    axis = np.abs(facing).argmax(axis=1)
    x, y, z = local.T
    return np.where(axis == 0, y, x), np.where(axis == 2, y, -z)


def _stamp_decals(albedo, table: list[Material], chosen, relative, facing) -> None:
    """Overwrite albedo where a front face carries an image."""
    for k in np.flatnonzero([m.decal is not None for m in table]):
        where = np.flatnonzero((chosen == k) & (facing[:, 1] > 0.9))
        image = table[k].decal
        h, w = image.shape[:2]
        # Local x points left for someone who looks at a front face, so images run against it.
        column = np.clip(((0.5 - relative[where, 0]) * w).astype(int), 0, w - 1)
        row = np.clip(((0.5 - relative[where, 2]) * h).astype(int), 0, h - 1)
        albedo[where] = image[row, column]


@lru_cache(maxsize=4)
def _strata(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Per pixel two numbers in [0, 1): the R2 sequence over each TILE × TILE block."""
    v, u = np.mgrid[0 : size[0], 0 : size[1]]
    k = ((v % TILE) * TILE + (u % TILE)).ravel()
    return ((0.5 + k * 0.7548776662) % 1).astype(np.float32), ((0.5 + k * 0.5698402910) % 1).astype(np.float32)


def illumination(caster: Caster, hits: Hits, lights: list[Light], size: tuple[int, int], ambient: float):
    """Diffuse irradiance float32 (N, 3) and, per light, (visibility (N, 1), unit direction (N, 3))."""
    a, b = _strata(size)
    start = hits.points + 2e-3 * hits.facets
    raw, unit, gain = [_open_sky(caster, hits, start, a, b)], [], []
    for light in lights:
        way = light.center.astype(np.float32) - start
        spread = (2 * a - 1)[:, None] * light.u.astype(np.float32) + (2 * b - 1)[:, None] * light.v.astype(np.float32)
        raw.append(~caster.blocked(start, way + spread, np.full(len(way), 0.999, np.float32)))
        square = dot(way, way)[:, None]
        unit.append(way / np.sqrt(square))
        cosine = np.maximum(dot(unit[-1], hits.normals)[:, None], 0)
        if light.facing.any():
            cosine *= np.clip(0.25 - unit[-1] @ light.facing.astype(np.float32), 0, 1)[:, None]
        gain.append(cosine * (light.power.astype(np.float32) * 4 / (1.0 + square)))
    seen = _smooth(np.stack(raw, axis=-1).astype(np.float32), hits, size)
    up = 0.85 + 0.15 * hits.normals[:, 2:]
    total = ambient * up * seen[:, :1] + sum(g * seen[:, k + 1 : k + 2] for k, g in enumerate(gain))
    return total.astype(np.float32), [(seen[:, k + 1 : k + 2], d) for k, d in enumerate(unit)]


def _open_sky(caster: Caster, hits: Hits, start: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Ambient visibility: one cosine-distributed ray of 0.7 m per pixel."""
    angle, height = 2 * np.pi * a, 1 - 2 * b
    radius = np.sqrt(np.maximum(1 - height**2, 0))
    ball = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)
    way = np.ascontiguousarray(hits.facets + 0.98 * ball, np.float32)
    return ~caster.blocked(start, way, np.full(len(way), 0.7, np.float32))


def _smooth(values: np.ndarray, hits: Hits, size: tuple[int, int]) -> np.ndarray:
    """Mean over a TILE × TILE window of the pixels on the same part with a similar normal; columns, then rows."""
    values = values.reshape(*size, -1)
    part = hits.part.reshape(size)
    normals = hits.normals.reshape(*size, 3)
    for axis in (0, 1):
        total, weight = values.copy(), np.ones(size, np.float32)
        for shift in range(1, TILE // 2 + 1):
            near = [slice(None)] * 2
            far = [slice(None)] * 2
            near[axis], far[axis] = slice(None, -shift), slice(shift, None)
            near, far = tuple(near), tuple(far)
            alike = (part[near] == part[far]) & (dot(normals[near], normals[far]) > 0.8)
            alike = alike.astype(np.float32)
            total[near] += values[far] * alike[..., None]
            total[far] += values[near] * alike[..., None]
            weight[near] += alike
            weight[far] += alike
        values = total / weight[..., None]
    return values.reshape(len(hits.part), -1)


def highlights(hits: Hits, gloss: np.ndarray, lights: list[Light], seen, towards_eye: np.ndarray) -> np.ndarray:
    """Blinn–Phong reflection of the lights on glossy hits; float32 (N, 3)."""
    out = np.zeros((len(gloss), 3), np.float32)
    shiny = np.flatnonzero(gloss > 0)
    for light, (visible, unit) in zip(lights, seen, strict=True):
        half = unit[shiny] + towards_eye[shiny]
        cosine = np.maximum(dot(half, hits.normals[shiny]) / np.sqrt(dot(half, half)), 0)
        strength = gloss[shiny, None] * visible[shiny] * _power64(cosine)[:, None]
        out[shiny] += (strength * light.power).astype(np.float32)
    return out


def _power64(x: np.ndarray) -> np.ndarray:
    for _ in range(6):
        x = x * x
    return x
