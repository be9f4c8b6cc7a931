# SPDX-License-Identifier: Apache-2.0
"""Modalities that any RGB-D frame has implicitly: normals, shading, occlusion and texture edges, HHA.

They are made of depth along the optical axis. That is what `depth` is in every dataset but Taskonomy, where it is along
the ray, and the other one is `zbuffer`.

Axes: H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import cv2
import numpy as np

from cen_model.data.dataset import Dataset
from cen_model.data.geometry import default_intrinsics, gravity, normals, rays
from cen_model.depth import to_meters

UNKNOWN = 128
"""Of normals and HHA where there is no depth."""
_DEEPEST_JUMP = 0.3
"""Relative step of depth that makes the strongest occlusion edge."""
_FLAT = 0.05
"""Relative step that is none: what 8 bits of depth take for one at 0.8 m."""
_CAMERA_CM, _LOW_CM = 130, 90
"""Height of a camera that sees no floor, and how far below the camera the lowest point of one that does is."""


def normal(depth: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Normals in the camera's frame (x right, y down, z forward), (n + 1) · 127.5: uint8 (H, W, 3); 128 = unknown."""
    return _encoded(normals(depth, intrinsics))


def shade(depth: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Gray matte surfaces, lit from the camera: uint8 (H, W), 255 where one looks straight at them, 0 = unknown."""
    directions = normals(depth, intrinsics)
    x, y = rays(directions.shape[:2], intrinsics)
    towards = np.stack([x, y, np.ones_like(x)], axis=2)
    cosine = -(directions * towards).sum(2) / np.linalg.norm(towards, axis=2)
    return np.rint(np.clip(cosine, 0, 1) * 255).astype(np.uint8)


def edge(depth: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Occlusion edges, steps of depth relative to the nearer side: uint8 (H, W), 255 from 30 % on, 0 up to 5 %.

    A step is what lies off a plane: inverse depth is linear there, however steeply the plane is seen. Holes have none.
    """
    z = to_meters(depth)
    known = z > 0
    w = np.divide(1.0, z, out=np.zeros_like(z), where=known)
    step = np.zeros_like(z)
    for axis in (0, 1):
        before, after = _neighbors(w, axis)
        smallest = np.minimum(np.minimum(before, after), w)
        bend = np.abs(before + after - 2 * w)
        step = np.maximum(step, np.divide(bend, smallest, out=np.zeros_like(z), where=known))
    return np.rint(np.clip((step - _FLAT) / (_DEEPEST_JUMP - _FLAT), 0, 1) * 255).astype(np.uint8)


def _neighbors(w: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """The values before and after each along an axis; its own beside a hole (0) or the image's end."""
    ends = [(0, 0), (0, 0)]
    ends[axis] = (1, 1)
    padded = np.pad(w, ends)
    both = (np.take(padded, np.arange(start, start + w.shape[axis]), axis) for start in (0, 2))
    before, after = (np.where(each > 0, each, w) for each in both)
    return before, after


def texture(rgb: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Texture edges, the gradient of the smoothed color image's brightness: uint8 (H, W)."""
    gray = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (5, 5), 1.0).astype(np.float32)
    gradient = cv2.magnitude(cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1))
    return np.rint(np.clip(gradient / 2, 0, 255)).astype(np.uint8)


def hha(depth: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Horizontal disparity, height above ground, angle with gravity (Gupta et al. 2014, § 3): uint8 (H, W, 3).

    310 / z in meters; the height in centimeters above the lowest point, or with the camera at 1.3 m where that is not
    0.9 m below it (no floor in sight); the angle between the normal and "up" in degrees, plus 38. Where there is no
    depth all of them are 128.
    """
    z = to_meters(depth)
    known = z > 0
    directions = normals(depth, intrinsics)
    down = gravity(directions)
    x, y = rays(z.shape, intrinsics)
    height = -z * (x * down[0] + y * down[1] + down[2]) * 100
    # Not the very lowest: one wrong pixel would lift the whole room.
    lowest = np.percentile(height[known], 0.5) if known.any() else 0.0
    height += -lowest if lowest < -_LOW_CM else _CAMERA_CM
    angle = np.degrees(np.arccos(np.clip(-(directions @ down), -1, 1))) + 38
    disparity = np.divide(310, z, out=np.zeros_like(z), where=known)
    planes = np.stack([disparity, height, angle], axis=2)
    return np.where(known[..., None], np.rint(np.clip(planes, 0, 255)), UNKNOWN).astype(np.uint8)


def _encoded(directions: np.ndarray) -> np.ndarray:
    values = np.rint((directions + 1) * 127.5).astype(np.uint8)
    values[~directions.any(2)] = UNKNOWN
    return values


_AXIAL = ("zbuffer", "depth")
DERIVATIONS: Mapping[str, tuple[tuple[str, ...], Callable[[np.ndarray, np.ndarray], np.ndarray]]] = {
    "normal": (_AXIAL, normal),
    "shade": (_AXIAL, shade),
    "edge": (_AXIAL, edge),
    "texture": (("rgb",), texture),
    "hha": (_AXIAL, hha),
}
"""By modality, the one it is made of, of several the first that is there, and how."""


def source_of(name: str, there: Collection[str]) -> str | None:
    """The modality among those that are there which `name` is made of; None if it cannot be made of them."""
    sources = DERIVATIONS[name][0] if name in DERIVATIONS else ()
    return next((source for source in sources if source in there), None)


def derive(name: str, frame: Mapping[str, np.ndarray], intrinsics: np.ndarray | None = None) -> np.ndarray:
    """A modality of `DERIVATIONS` from a frame that has what it is made of.

    Args:
        intrinsics: (3, 3) in pixels; None takes a Kinect's.
    """
    image = frame[source_of(name, frame)]
    camera = default_intrinsics(image.shape[:2]) if intrinsics is None else intrinsics
    return DERIVATIONS[name][1](image, camera)


class Derived:
    """A dataset with modalities that its files lack.

    Raises:
        ValueError: one of them can neither be read nor derived.
    """

    def __init__(self, dataset: Dataset, modalities: Sequence[str]) -> None:
        self.dataset, self.labels = dataset, dataset.labels
        self._made = [name for name in modalities if name not in dataset.modalities]
        for name in self._made:
            if source_of(name, dataset.modalities) is None:
                made = ", ".join(each for each in DERIVATIONS if source_of(each, dataset.modalities))
                raise ValueError(
                    f"the dataset has no {name}: it has {', '.join(dataset.modalities)}; of them can be made {made}"
                )
        self.modalities = (*dataset.modalities, *self._made)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        frame = self.dataset[index]
        intrinsics = self.dataset.intrinsics(index)
        return {**frame, **{name: derive(name, frame, intrinsics) for name in self._made}}

    def describe(self, index: int) -> str:
        return self.dataset.describe(index)

    def intrinsics(self, index: int) -> np.ndarray | None:
        return self.dataset.intrinsics(index)
