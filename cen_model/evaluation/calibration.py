# SPDX-License-Identifier: Apache-2.0
"""Whether labels are right as often as they are said to be: measured, by the expected calibration error.

Axes: H W pixels.
"""

from __future__ import annotations

import numpy as np

from cen_model.classes import VOID

BINS = 15
LEVELS = 256
"""Of confidence as it is published, uint8."""


def count_levels(truth: np.ndarray, labels: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Count wrong (first row) and right (second row) labels by their confidence: int64 (2, 256).

    Args:
        truth: class ids uint8 (...); pixels that are void are left out.
        labels: of the same shape.
        confidence: uint8 of the same shape, 255 being certain.
    """
    known = truth != VOID
    right = (labels == truth)[known]
    return np.bincount(confidence[known] + LEVELS * right, minlength=2 * LEVELS).reshape(2, LEVELS)


def calibration_error(levels: np.ndarray) -> float:
    """Return the expected calibration error (Guo et al. 2017) in [0, 1] of what `count_levels` counts; NaN of nothing.

    Confidence falls into 15 equal bins; a bin errs by the difference of its mean confidence and its share of right
    labels, and counts by its pixels.
    """
    wrong, right = levels
    level = np.arange(LEVELS)
    bins = np.minimum(level * BINS // (LEVELS - 1), BINS - 1)
    excess = np.bincount(bins, (wrong + right) * level / (LEVELS - 1) - right)
    pixels = levels.sum()
    return float(np.abs(excess).sum() / pixels) if pixels else float("nan")
