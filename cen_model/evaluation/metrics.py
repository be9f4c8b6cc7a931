# SPDX-License-Identifier: Apache-2.0
"""Scores: of labels, from a confusion matrix, with IoU by class and the means; of translated images. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


def confusion_matrix(truth: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Pixels by true class and by label: int64 (K, K + 1); the last column counts labels that are no class.

    Args:
        truth: class ids (...); pixels that are no class (void) are left out.
        labels: predicted ids of the same shape.
        classes: K.

    Raises:
        ValueError: the two arrays differ in shape.
    """
    if truth.shape != labels.shape:
        raise ValueError(f"labels of shape {labels.shape} do not fit the truth of shape {truth.shape}")
    known = truth < classes
    pairs = truth[known].astype(np.int64) * (classes + 1) + np.minimum(labels[known], classes)
    return np.bincount(pairs, minlength=classes * (classes + 1)).reshape(classes, classes + 1)


@dataclass(frozen=True)
class Scores:
    """Scores in [0, 1]. A class that neither truth nor labels contain is NaN and stays out of the means."""

    iou: tuple[float, ...]
    mean_iou: float
    mean_accuracy: float
    pixel_accuracy: float

    @classmethod
    def of(cls, confusion: np.ndarray) -> Scores:
        """Scores of a confusion matrix (K, K) or (K, K + 1), rows the truth; all NaN where it is empty."""
        counts = confusion.astype(np.float64)
        correct, truth, labeled = counts.diagonal(), counts.sum(1), counts.sum(0)[: len(counts)]
        iou = _ratio(correct, truth + labeled - correct)
        return cls(
            iou=tuple(iou.tolist()),
            mean_iou=_mean(iou),
            mean_accuracy=_mean(_ratio(correct, truth)),
            pixel_accuracy=float(_ratio(correct.sum(), truth.sum())),
        )


@dataclass(frozen=True)
class ImageScores:
    """Errors of images in [-1, 1], means over the frames; lower is better.

    The published code measures so, and gives the root of the mean square: Table 6 of the paper has ten times `mae` and
    ten times `rmse`, though it calls the latter MSE.
    """

    mae: float
    mse: float
    rmse: float
    fid: float | None = None
    """None where no Inception network was given; the same of kid, of which the paper gives a hundred times."""
    kid: float | None = None


Measured = Mapping[str, Scores] | Mapping[str, ImageScores]
"""By output."""


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
