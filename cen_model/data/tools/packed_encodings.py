# SPDX-License-Identifier: Apache-2.0
"""Images of a packed dataset as bytes: color as JPEG, all others as PNG, without loss.

Depth takes 8 bits, as numbers of levels, where no more than 256 different values occur.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from cen_model.depth import to_millimeters
from cen_model.modalities import IN_METERS

JPEG_QUALITY = 95

Frames = Mapping[str, Sequence[Mapping[str, np.ndarray]]]
"""By split."""


def encode(frames: Frames) -> dict[str, np.ndarray]:
    """Return the tensors that a packed dataset's file holds of the frames."""
    levels = _depth_levels(frames)
    tensors = {} if levels is None else {"depth.levels": levels}
    for split, some in frames.items():
        for name in some[0]:
            images = [_encoded(name, frame[name], levels) for frame in some]
            tensors[f"{split}/{name}"] = np.concatenate(images)
            tensors[f"{split}/{name}.offsets"] = np.cumsum([0, *map(len, images)], dtype=np.int64)
    return tensors


def _depth_levels(frames: Frames) -> np.ndarray | None:
    """Return all values of depth in mm, rising, uint16 (≤ 256,); None if there are none, or too many for 8 bits."""
    occurs = np.zeros(65536, bool)
    for frame in (frame for some in frames.values() for frame in some if "depth" in frame):
        occurs[to_millimeters(frame["depth"])] = True
    values = np.flatnonzero(occurs).astype(np.uint16)
    return values if 0 < len(values) <= 256 else None


def _encoded(name: str, image: np.ndarray, levels: np.ndarray | None) -> np.ndarray:
    """Return the bytes, uint8 (N,), of an image (H, W) or (H, W, 3)."""
    if name in IN_METERS:
        image = to_millimeters(image)
    if name == "depth" and levels is not None:
        image = np.searchsorted(levels, image).astype(np.uint8)
    image = np.ascontiguousarray(image[..., ::-1] if image.ndim == 3 else image)
    if name == "rgb":
        return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
