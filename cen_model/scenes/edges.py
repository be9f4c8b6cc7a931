# SPDX-License-Identifier: Apache-2.0
"""Edge images as in Taskonomy: occlusion edges from geometry, texture edges from the noise-free picture."""

from __future__ import annotations

import cv2
import numpy as np

from cen_model.scenes.raycast import dot

FULL_STEP = 0.25
"""A surface that starts this many meters behind its neighbor's plane is an edge of strength 1."""


def occlusion_edges(z: np.ndarray, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """float32 (H, W) in [0, 1]: how far a 4-neighbor lies off the pixel's tangent plane, beyond 4 % of its depth.

    z (H, W), points and normals (H, W, 3) in the camera frame, meters.
    """
    edge = np.zeros_like(z)
    for axis in (0, 1):
        a, b = (slice(None, -1), slice(1, None)) if axis == 0 else (np.s_[:, :-1], np.s_[:, 1:])
        step = points[b] - points[a]
        gap = np.minimum(np.abs(dot(step, normals[a])), np.abs(dot(step, normals[b])))
        strength = np.clip((gap - 0.04 * np.minimum(z[a], z[b])) / FULL_STEP, 0, 1)
        edge[a] = np.maximum(edge[a], strength)
        edge[b] = np.maximum(edge[b], strength)
    return edge.astype(np.float32)


def texture_edges(display: np.ndarray) -> np.ndarray:
    """float32 (H, W) in [0, 1]: Sobel magnitude of the gray noise-free picture (in [0, 1]); 1 = a step of 0.5."""
    gray = (display[..., 0] + display[..., 1] + display[..., 2]) / np.float32(3)
    dx, dy = cv2.Sobel(gray, cv2.CV_32F, 1, 0, ksize=3), cv2.Sobel(gray, cv2.CV_32F, 0, 1, ksize=3)
    return np.clip(np.sqrt(dx * dx + dy * dy) / 2, 0, 1)
