# SPDX-License-Identifier: Apache-2.0
"""Parts as one Embree scene: first hits with exact part, distance, normal and texture position; shadow rays."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from cen_model.scenes.items import Part
from cen_model.scenes.meshes import unit_mesh


@dataclass(frozen=True, eq=False)
class Hits:
    """N rays' first hits. part: int64 (N,), −1 = nothing; distance: float32 (N,) in units of the ray's direction;
    points, normals (shading), facets (geometric): float32 (N, 3) in world coordinates."""

    part: np.ndarray
    distance: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    facets: np.ndarray


class Caster:
    """Casts rays at a list of parts. `sizes` (P, 3), `centers` (P, 3), `rotations` (P, 3, 3) keep the parts' order."""

    def __init__(self, parts: list[Part]):
        self.sizes = np.array([p.size for p in parts], np.float32)
        self.centers = np.array([p.center for p in parts], np.float32)
        self.rotations = np.array([p.rotation for p in parts], np.float32)
        self.labels = np.array([p.label for p in parts], np.uint8)
        groups = defaultdict(list)
        for k, p in enumerate(parts):
            groups[p.mesh].append(k)
        soups = [self._soup(mesh, np.array(members)) for mesh, members in groups.items()]
        self._corners, self._normals, self._part = (np.concatenate(arrays) for arrays in zip(*soups, strict=True))
        self._scene = EmbreeScene()
        TriangleMesh(self._scene, self._corners)
        self._facets = _unit(
            np.cross(self._corners[:, 1] - self._corners[:, 0], self._corners[:, 2] - self._corners[:, 0])
        )

    def _soup(self, mesh: str, members: np.ndarray):
        """World triangles, corner normals and part numbers of all parts that share a unit mesh."""
        unit = unit_mesh(mesh)
        scale, turned = self.sizes[members][:, None], self.rotations[members].transpose(0, 2, 1)
        corners = np.matmul(unit.corners.reshape(-1, 3) * scale, turned) + self.centers[members][:, None]
        normals = _unit(np.matmul(unit.normals.reshape(-1, 3) / scale, turned))
        return corners.reshape(-1, 3, 3), normals.reshape(-1, 3, 3), np.repeat(members, len(unit.corners))

    def cast(self, origins: np.ndarray, directions: np.ndarray) -> Hits:
        """First hits of float32 (N, 3) rays; directions need not be unit vectors."""
        raw = self._scene.run(origins, directions, output=1)
        face, u, v = raw["primID"], raw["u"][:, None], raw["v"][:, None]
        corner = self._normals.take(face, axis=0, mode="wrap")
        normals = _unit((1 - u - v) * corner[:, 0] + u * corner[:, 1] + v * corner[:, 2])
        part = np.where(face >= 0, self._part[face], -1)
        points = origins + raw["tfar"][:, None] * directions
        return Hits(part, raw["tfar"], points, normals, self._facets.take(face, axis=0, mode="wrap"))

    def nearest(self, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(part or −1, distance, cosine between ray and geometric normal: positive where the ray leaves a solid)."""
        raw = self._scene.run(origins, directions, output=1)
        face = raw["primID"]
        leaving = dot(self._facets[face], directions)
        return np.where(face >= 0, self._part[face], -1), raw["tfar"], leaving

    def blocked(self, origins: np.ndarray, directions: np.ndarray, reach: np.ndarray) -> np.ndarray:
        """bool (N,): something lies within `reach` (in units of the direction's length) of the ray's origin."""
        return self._scene.run(origins, directions, dists=reach, query="OCCLUDED") >= 0


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Scalar product over the last axis, of length 3 (several times as fast as a sum over it)."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.sqrt(dot(vectors, vectors)), 1e-12)[..., None]
