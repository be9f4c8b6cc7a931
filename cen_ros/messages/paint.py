# SPDX-License-Identifier: Apache-2.0
"""Labels as pictures and masks, and which pixels are to stay without a label.

H height, W width. Label ids are uint8; an id that is no class, 255 (`VOID`) among them, is unlabeled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from cen_model.classes import VOID, color_table
from cen_model.depth import is_measured


class Painter:
    """Draws labels in the project's palette.

    Args:
        classes: how many there are; the ids from there on are unlabeled.
    """

    def __init__(self, classes: int) -> None:
        # The shapes that OpenCV wants a table in.
        self._colors = color_table(classes)[:, None]
        self._unlabeled = np.full(VOID + 1, 255, np.uint8)
        self._unlabeled[:classes] = 0

    def color(self, labels: np.ndarray) -> np.ndarray:
        """Labels uint8 (H, W) in their classes' colors: uint8 (H, W, 3) RGB, black where unlabeled."""
        return cv2.applyColorMap(labels, self._colors)

    def overlay(self, rgb: np.ndarray, labels: np.ndarray, alpha: float) -> np.ndarray:
        """The camera's image with the labels' colors over it: uint8 (H, W, 3) RGB.

        Args:
            rgb: uint8 (H, W, 3).
            labels: uint8 (H, W).
            alpha: 0 (the image) to 1 (the colors); where unlabeled, the image stays as it is.
        """
        blend = cv2.addWeighted(rgb, 1 - alpha, self.color(labels), alpha, 0)
        return cv2.copyTo(rgb, cv2.LUT(labels, self._unlabeled), blend)


def mask(labels: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """uint8 (H, W): 255 where the label, uint8 (H, W), is one of `ids`, else 0."""
    table = np.zeros(VOID + 1, np.uint8)
    table[list(ids)] = 255
    return cv2.LUT(labels, table)


def with_unlabeled(
    labels: np.ndarray,
    depth: np.ndarray | None = None,
    confidence: np.ndarray | None = None,
    min_confidence: float = 0.0,
) -> np.ndarray:
    """The labels with 255 where they are not to be trusted; the same array where nothing asks for that.

    Args:
        labels: uint8 (H, W).
        depth: uint16 or float (H, W): its holes are unlabeled.
        confidence: uint8 (H, W), 255 being certain.
        min_confidence: 0 to 1; less confident pixels are unlabeled.
    """
    if depth is not None:
        labels = np.where(is_measured(depth), labels, np.uint8(VOID))
    if confidence is not None and min_confidence > 0:
        least = np.uint8(math.ceil(min_confidence * 255))  # confidences are whole numbers: the comparison stays exact
        labels = np.where(confidence < least, np.uint8(VOID), labels)
    return labels
