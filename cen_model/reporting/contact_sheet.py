# SPDX-License-Identifier: Apache-2.0
"""Frames below one another in one picture: of each a row with its modalities, its label, and what else it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from PIL import Image

from cen_model.classes import LabelSet
from cen_model.reporting.visualize import colorize, grid

OVERLAY = 0.5


def frame_images(
    frame: Mapping[str, np.ndarray], modalities: Sequence[str], labels: LabelSet | None = None
) -> dict[str, np.ndarray]:
    """Return images uint8 (H, W, 3) of a frame's modalities and, with `labels`, of its label and of both together.

    Args:
        frame: as `cen_model.data.dataset` has it.
        labels: None leaves the label out.
    """
    images = {name: colorize(frame[name]) for name in modalities}
    if labels is None:
        return images
    painted = labels.table()[frame["label"]]
    base = frame["rgb"] if "rgb" in frame else next(iter(images.values()))
    return {**images, "label": painted, "overlay": cv2.addWeighted(base, 1 - OVERLAY, painted, OVERLAY, 0)}


def contact_sheet(
    frames: Sequence[Mapping[str, np.ndarray]], labels: LabelSet | None = None, width: int | None = 256
) -> Image.Image:
    """Draw a row for each frame, its images uint8 (H, W, 3) below their titles.

    Args:
        frames: images by title, the same titles in each frame. Panels take the shape of the first image.
        labels: classes of a legend below; None draws no legend.
        width: pixels of a panel; None takes the first image's own.
    """
    height, across = next(iter(frames[0].values())).shape[:2]
    width = width or across
    size = width, round(height * width / across)
    rows = [[cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images.values()] for images in frames]
    return grid(list(frames[0]), rows, labels.names if labels else (), labels.colors if labels else ())
