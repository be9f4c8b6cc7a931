# SPDX-License-Identifier: Apache-2.0
"""Depth images as cameras and datasets give them: where they have holes, and their units. NumPy only.

H height, W width. `cen_model.modalities` has the same for tensors, as a network's input.
"""

from __future__ import annotations

import numpy as np


def is_measured(depth: np.ndarray) -> np.ndarray:
    """Return bool (H, W): where depth, uint16 or float (H, W), is a distance. Holes are 0, NaN, inf or negative."""
    if depth.dtype == np.uint16:
        return depth > 0
    return (depth > 0) & (depth < np.inf)  # NaN is neither


def to_meters(depth: np.ndarray, dtype: type[np.floating] = np.float64) -> np.ndarray:
    """Return depth, uint16 mm or float m (H, W), in meters of a float type, with 0 for a hole."""
    meters = np.divide(depth, 1000, dtype=dtype) if depth.dtype == np.uint16 else depth.astype(dtype, copy=False)
    return np.where(is_measured(depth), meters, dtype(0))


def to_millimeters(depth: np.ndarray) -> np.ndarray:
    """Return depth, uint16 mm or float m (H, W), in whole millimeters, uint16, with 0 for a hole; at most 65.535 m."""
    if depth.dtype == np.uint16:
        return depth
    return np.rint(np.minimum(to_meters(depth) * 1000, 65535)).astype(np.uint16)
