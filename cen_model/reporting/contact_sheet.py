# SPDX-License-Identifier: Apache-2.0
"""Frames of a dataset side by side in one picture: every modality, the label, and both on top of each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from PIL import Image
from torch import Tensor

from cen_model.classes import LabelSet
from cen_model.reporting.visualize import colorize, grid

OVERLAY = 0.5


def contact_sheet(
    frames: Sequence[Mapping[str, np.ndarray]], modalities: Sequence[str], labels: LabelSet | None, width: int = 256
) -> Image.Image:
    """A row for each frame, panels `width` pixels wide.

    Args:
        frames: as `cen_model.data.dataset` has them; panels take the shape of the first.
        labels: None where frames have none.
    """
    height, across = next(iter(frames[0].values())).shape[:2]
    size = width, round(height * width / across)
    titles = [*modalities, *(["label", "overlay"] if labels else [])]
    rows = [[_panel(image, size) for image in _images(frame, modalities, labels)] for frame in frames]
    return grid(titles, rows, labels.names if labels else (), labels.colors if labels else ())


def _images(frame: Mapping[str, np.ndarray], modalities: Sequence[str], labels: LabelSet | None) -> list[np.ndarray]:
    images = [colorize(frame[name]) for name in modalities]
    if labels is None:
        return images
    painted = labels.table()[frame["label"]]
    base = frame["rgb"] if "rgb" in frame else images[0]
    return [*images, painted, cv2.addWeighted(base, 1 - OVERLAY, painted, OVERLAY, 0)]


def _panel(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def from_sample(sample: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """A frame of arrays of a sample of tensors, as training sees it."""
    arrays = {name: tensor.numpy() for name, tensor in sample.items() if name != "index"}
    return {
        name: array if array.ndim == 2 else (array[0] if len(array) == 1 else array.transpose(1, 2, 0))
        for name, array in arrays.items()
    }
