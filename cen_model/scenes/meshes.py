# SPDX-License-Identifier: Apache-2.0
"""Unit meshes as triangle soups with per-corner normals, made once per process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import trimesh

SMOOTH = 0.7
"""Faces whose normals agree better than this cosine share a smooth normal at their common corner."""


@dataclass(frozen=True, eq=False)
class UnitMesh:
    """corners, normals: float32 (F, 3, 3), extent 1 around the origin."""

    corners: np.ndarray
    normals: np.ndarray


def _superellipsoid(power: float, subdivisions: int) -> trimesh.Trimesh:
    mesh = trimesh.creation.box()
    for _ in range(subdivisions):
        mesh = mesh.subdivide()
    unit = np.sin(mesh.vertices * np.pi)  # more facets where it bends, near the edges
    norm = (np.abs(unit) ** power).sum(axis=1, keepdims=True) ** (1 / power)
    mesh.vertices = unit / norm / 2
    return mesh


def _revolved(profile: list[tuple[float, float]]) -> trimesh.Trimesh:
    """`profile` lists (radius, z) from the bottom to the top."""
    return trimesh.creation.revolve(np.asarray(profile), sections=20)


def _curtain() -> trimesh.Trimesh:
    """A closed, wavy sheet: folds along x, thin in y."""
    x = np.linspace(-0.5, 0.5, 49)
    wave = 0.35 * np.sin(x * 2 * np.pi * 6)
    outline = np.concatenate([np.stack([x, wave + 0.12], 1), np.stack([x, wave - 0.12], 1)[::-1]])
    n = len(outline)
    bottom, top = np.c_[outline, np.full(n, -0.5)], np.c_[outline, np.full(n, 0.5)]
    i, j = np.arange(n), np.roll(np.arange(n), -1)
    faces = np.concatenate([np.stack([i, i + n, j], 1), np.stack([j, i + n, j + n], 1)])
    return trimesh.Trimesh(np.concatenate([bottom, top]), faces, process=False)


_MAKERS = {
    "box": trimesh.creation.box,
    "cylinder": lambda: trimesh.creation.cylinder(radius=0.5, height=1.0, sections=24),
    "sphere": lambda: trimesh.creation.icosphere(subdivisions=3, radius=0.5),
    "leaf": lambda: trimesh.creation.icosphere(subdivisions=2, radius=0.5),
    "cushion": lambda: _superellipsoid(3.0, 3),
    "rounded": lambda: _superellipsoid(10.0, 2),
    "shade": lambda: _revolved([(0, -0.5), (0.5, -0.5), (0.3, 0.5), (0, 0.5)]),
    "pot": lambda: _revolved([(0, -0.5), (0.33, -0.5), (0.5, 0.5), (0.42, 0.5), (0.36, 0.2), (0, 0.2)]),
    "vase": lambda: _revolved(
        [(0, -0.5), (0.25, -0.5), (0.42, -0.3), (0.5, -0.1), (0.42, 0.12), (0.2, 0.32), (0.24, 0.5), (0, 0.5)]
    ),
    "curtain": _curtain,
}


def _corner_normals(mesh: trimesh.Trimesh) -> np.ndarray:
    """Per corner the area-weighted mean normal of the faces around its vertex that bend less than SMOOTH allows."""
    facets, faces = mesh.face_normals, mesh.faces
    weighted = facets * mesh.area_faces[:, None]
    touches = np.zeros((len(mesh.vertices), len(faces)), bool)
    touches[faces.ravel(), np.repeat(np.arange(len(faces)), 3)] = True
    alike = np.einsum("fc,gc->fg", facets, facets) > SMOOTH
    normals = np.zeros((len(faces), 3, 3))
    for corner in range(3):
        face, neighbor = np.nonzero(touches[faces[:, corner]] & alike)
        np.add.at(normals[:, corner], face, weighted[neighbor])
    return normals / np.linalg.norm(normals, axis=2, keepdims=True)


@cache
def unit_mesh(name: str) -> UnitMesh:
    """The unit mesh called `name` (a key of the literal table above)."""
    mesh = _MAKERS[name]()
    mesh.update_faces(mesh.area_faces > 1e-9)
    if mesh.volume < 0:
        mesh.invert()
    return UnitMesh(np.asarray(mesh.vertices[mesh.faces], np.float32), _corner_normals(mesh).astype(np.float32))
