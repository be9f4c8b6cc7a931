# SPDX-License-Identifier: Apache-2.0
"""Images of a packed dataset as bytes, in several ways: PNG, JPEG, and depth as numbers of at most 256 levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import cv2
import numpy as np

from cen_model.modalities import IN_METRES

LEVELS = "levels"
"""The way of depth in 8 bits; others are "png" and, say, "jpeg 95"."""
_SAMPLES = 20
"""Frames of each split by which sizes are estimated."""

Frames = Mapping[str, Sequence[Mapping[str, np.ndarray]]]
"""By split."""


class Encodings:
    """All images of some frames, written in each way once, when asked for."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._done: dict[tuple[str, str], dict[str, np.ndarray]] = {}
        self._estimates: dict[tuple[str, str], float] = {}

    def estimate(self, ways: Mapping[str, str]) -> float:
        """About how many bytes the images of these names take, each in its way."""
        for each in ways.items():
            if each not in self._estimates:
                self._estimates[each] = self._estimated(*each)
        return sum(self._estimates[each] for each in ways.items())

    def tensors(self, ways: Mapping[str, str]) -> dict[str, np.ndarray]:
        """What a packed dataset's file holds of them."""
        tensors = {"depth.levels": self.levels} if LEVELS in ways.values() else {}
        for name, way in ways.items():
            if (name, way) not in self._done:
                self._done[name, way] = self._written(name, way)
            tensors |= self._done[name, way]
        return tensors

    @cached_property
    def exact_levels(self) -> bool:
        """8 bits can number the values of depth."""
        return len(self._depths) <= 256

    @cached_property
    def levels(self) -> np.ndarray:
        """Depth in mm, rising: every value that there is, or 0 = hole and 255 in equal ratios: uint16 (≤ 256,)."""
        if self.exact_levels:
            return self._depths
        known = self._depths[self._depths > 0].astype(np.float64)
        ratios = np.rint(np.geomspace(known[0], known[-1], 255))
        return np.unique([0, *ratios]).astype(np.uint16)

    @cached_property
    def error(self) -> float:
        """How far, at most, a depth is from its level: a share of the depth."""
        nearest = self.levels[self._level_of[self._depths]].astype(np.float64)
        return float(np.max(np.abs(nearest - self._depths) / np.maximum(self._depths, 1)))

    @cached_property
    def _depths(self) -> np.ndarray:
        there = np.zeros(65536, bool)
        for frames in self._frames.values():
            for frame in frames:
                there[millimetres(frame["depth"])] = True
        return np.flatnonzero(there).astype(np.uint16)

    @cached_property
    def _level_of(self) -> np.ndarray:
        """The number of the level nearest to any depth in mm: uint8 (65536,)."""
        levels = self.levels.astype(np.float64)
        return np.searchsorted((levels[1:] + levels[:-1]) / 2, np.arange(65536)).astype(np.uint8)

    def _image(self, frame: Mapping[str, np.ndarray], name: str, way: str) -> np.ndarray:
        image = frame[name]
        if name in IN_METRES:
            image = millimetres(image)
        return encoded(self._level_of[image] if way == LEVELS else image, way)

    def _estimated(self, name: str, way: str) -> float:
        total = 0.0
        for frames in self._frames.values():
            some = frames[:: max(1, len(frames) // _SAMPLES)]
            total += len(frames) / len(some) * sum(len(self._image(frame, name, way)) for frame in some)
        return total

    def _written(self, name: str, way: str) -> dict[str, np.ndarray]:
        tensors = {}
        for split, frames in self._frames.items():
            images = [self._image(frame, name, way) for frame in frames]
            tensors[f"{split}/{name}"] = np.concatenate(images)
            tensors[f"{split}/{name}.offsets"] = np.cumsum([0, *map(len, images)], dtype=np.int64)
        return tensors


def encoded(image: np.ndarray, way: str) -> np.ndarray:
    """The bytes, uint8 (N,), of an image (H, W) or RGB (H, W, 3)."""
    image = np.ascontiguousarray(image[..., ::-1] if image.ndim == 3 else image)
    if way.startswith("jpeg "):
        return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(way.removeprefix("jpeg "))])[1]
    return cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]


def millimetres(depth: np.ndarray) -> np.ndarray:
    """Depth uint16 mm; float metres lose what is below a millimetre or beyond 65 m, and holes become 0."""
    if depth.dtype == np.uint16:
        return depth
    known = np.nan_to_num(depth, nan=0, posinf=0, neginf=0)
    return np.rint(np.clip(known * 1000, 0, 65535)).astype(np.uint16)
