# SPDX-License-Identifier: Apache-2.0
"""Scores: of labels, from a confusion matrix, with IoU by class and the means; of translated images. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cen_model.classes import VOID


def confusion_matrix(truth: np.ndarray, labels: np.ndarray, classes: int, name: str = "the truth") -> np.ndarray:
    """Count pixels by true class and by label: int64 (K, K + 1); the last column counts labels that are no class.

    Args:
        truth: class ids uint8 (...); pixels that are void are left out.
        labels: predicted ids, uint8 of the same shape.
        classes: K.
        name: what errors call the truth.

    Raises:
        ValueError: the truth is of another size, or of more classes than the network's.
    """
    if truth.shape != labels.shape:
        own, expected = ("x".join(map(str, reversed(each.shape))) for each in (truth, labels))
        raise ValueError(f"{name} has {own} pixels; expected {expected}, as the labels have")
    # All pairs of two bytes are counted: that is several times faster than to leave pixels out first.
    pairs = truth.astype(np.uint16) << 8
    pairs |= labels
    counts = np.bincount(pairs.ravel(), minlength=1 << 16).reshape(256, 256)
    beyond = np.flatnonzero(counts[classes:VOID].any(1))
    if beyond.size:
        raise ValueError(
            f"{name} has label {classes + beyond[-1]}, but the network tells {classes} classes (0 to {classes - 1}, "
            f"{VOID} = void); choose the weights that these labels are of"
        )
    return np.column_stack([counts[:classes, :classes], counts[:classes, classes:].sum(1)])


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
