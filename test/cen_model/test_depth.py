# SPDX-License-Identifier: Apache-2.0
"""Holes and units of depth images, value by value."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cen_model.depth import is_measured, to_meters, to_millimeters

DEPTHS = [
    np.array([[0, 1, 2500, 65535]], np.uint16),
    np.array([[0, -0.5, math.nan, math.inf, -math.inf, 1e-3, 2.4996, 90]], np.float32),
    np.array([[0, 3.25]], np.float64),
]
pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.parametrize("depth", DEPTHS, ids=lambda x: str(x.dtype))]


def expected(depth: np.ndarray) -> list[float]:
    """Return meters in plain Python, 0 for a hole."""
    meters = [value / 1000 if depth.dtype == np.uint16 else value for value in depth[0].tolist()]
    return [value if math.isfinite(value) and value > 0 else 0.0 for value in meters]


def test_holes_are_told_from_distances(depth: np.ndarray) -> None:
    assert is_measured(depth)[0].tolist() == [value > 0 for value in expected(depth)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_meters(depth: np.ndarray, dtype: type[np.floating]) -> None:
    before = depth.copy()
    meters = to_meters(depth, dtype)
    assert meters.dtype == dtype
    np.testing.assert_allclose(meters[0], expected(depth), rtol=1e-6)
    np.testing.assert_array_equal(depth, before)


def test_millimeters(depth: np.ndarray) -> None:
    millimeters = to_millimeters(depth)
    assert millimeters.dtype == np.uint16
    assert millimeters[0].tolist() == [min(round(1000 * value), 65535) for value in expected(depth)]
