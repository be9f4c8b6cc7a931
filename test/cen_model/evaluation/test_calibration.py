# SPDX-License-Identifier: Apache-2.0
"""The calibration error against torchmetrics', which keeps every pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_calibration_error

from cen_model.classes import VOID
from cen_model.evaluation.calibration import calibration_error, count_levels


@pytest.mark.parametrize("power", [0.5, 1, 3])
def test_the_error_is_that_of_exact_probabilities(power):
    """Labels are right as often as confidence to a power says; 8 bits of confidence are enough."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0, 1, 200_000)
    right = rng.uniform(0, 1, confidence.size) < confidence**power
    counts = count_levels(right, np.ones(right.size, np.uint8), np.rint(255 * confidence).astype(np.uint8))
    expected = binary_calibration_error(torch.from_numpy(confidence), torch.from_numpy(right), n_bins=15).item()
    assert calibration_error(counts) == pytest.approx(expected, abs=1e-3)
    assert (expected > 0.1) == (power != 1)


def test_void_is_left_out_and_certainty_counts():
    truth, labels = np.array([0, 1, 1, VOID], np.uint8), np.array([0, 1, 0, 0], np.uint8)
    counts = count_levels(truth, labels, np.array([255, 51, 51, 0], np.uint8))
    assert counts.sum() == 3 and counts[1, 255] == counts[1, 51] == counts[0, 51] == 1
    assert calibration_error(counts) == pytest.approx((0 + 2 * abs(0.5 - 0.2)) / 3)
    assert np.isnan(calibration_error(np.zeros((2, 256), int)))
