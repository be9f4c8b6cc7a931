# SPDX-License-Identifier: Apache-2.0
"""What rooms are made of: a `Part` is a scaled, rotated unit mesh with a label and a material; an `Item` is several."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from cen_model.classes import NYU13

(BED, BOOKS, CEILING, CHAIR, FLOOR, FURNITURE, OBJECTS, PICTURE, SOFA, TABLE, TV, WALL, WINDOW) = range(len(NYU13))

EYE = np.eye(3)


@dataclass(frozen=True, eq=False)
class Material:
    """Two linear colors mixed by a tiled pattern, or a decal.

    `tile` is the edge of one pattern tile in meters. `gloss` in [0, 1] is the mirror share, `emission` adds light.
    `decal` (h, w, 3) float32 in [0, 1] covers the part's front (+y) face instead of the pattern.
    """

    color: np.ndarray
    color2: np.ndarray
    pattern: int = 0
    tile: float = 1.0
    gloss: float = 0.0
    emission: float = 0.0
    decal: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """A unit mesh (extent 1 around the origin) scaled to `size`, rotated, then moved to `center` (meters)."""

    mesh: str
    size: np.ndarray
    center: np.ndarray
    label: int
    material: Material
    rotation: np.ndarray = field(default_factory=lambda: EYE)

    def moved(self, rotation: np.ndarray, offset: np.ndarray) -> Part:
        """The same part after the rigid motion x → rotation·x + offset."""
        return replace(self, rotation=rotation @ self.rotation, center=rotation @ self.center + offset)


@dataclass(frozen=True, eq=False)
class Item:
    """A piece of furniture. Local frame: z up from the floor, x along the wall, back at y = −depth/2, front towards +y.

    `size` is (width, depth, height) in meters of the space it takes.
    """

    parts: list[Part]
    size: tuple[float, float, float]

    def moved(self, rotation: np.ndarray, offset: np.ndarray) -> list[Part]:
        return [part.moved(rotation, offset) for part in self.parts]


def part(mesh: str, label: int, material: Material, size, center, rotation: np.ndarray = EYE) -> Part:
    """A `Part` from plain sequences."""
    return Part(mesh, np.asarray(size, float), np.asarray(center, float), label, material, rotation)


def box(label: int, material: Material, size, center, rotation: np.ndarray = EYE) -> Part:
    return part("box", label, material, size, center, rotation)


def turn(angle: float) -> np.ndarray:
    """Rotation by `angle` radians about the vertical axis."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def tilt(angle: float) -> np.ndarray:
    """Rotation by `angle` radians about the x axis (+ lifts the front)."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def legs(label: int, material: Material, width: float, depth: float, height: float, thick: float, mesh: str = "box"):
    """Four vertical legs from the floor to `height`, flush with the corners of a width × depth rectangle."""
    x, y = (width - thick) / 2, (depth - thick) / 2
    corners = [(-x, -y), (x, -y), (-x, y), (x, y)]
    return [part(mesh, label, material, (thick, thick, height), (cx, cy, height / 2)) for cx, cy in corners]
