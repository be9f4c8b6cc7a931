# SPDX-License-Identifier: Apache-2.0
"""Surfaces from depth: normals, and the direction of gravity.

In the camera's frame x points right, y down, z forward; a surface that is seen has a normal that points to the camera.

Axes: H W pixels, N points.
"""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np

from cen_model.depth import to_meters

_KINECT = np.array([[518.857901, 0, 325.58245], [0, 519.469611, 253.73617], [0, 0, 1]]) / [[640], [480], [1]]
"""Intrinsics of NYUDv2's color camera as shares of the image: what is taken where none are known."""
_MUCH_BETTER, _NOISE = 1 / 4, 0.005
"""Another window's plane is taken if it leaves this share of the squared error, to which this relative error of depth
is added: where 8-bit depth stays on one step, it fits exactly, and is wrong."""


def default_intrinsics(size: tuple[int, int]) -> np.ndarray:
    """A Kinect's (3, 3), for frames of height and width `size`."""
    return _KINECT * [[size[1]], [size[0]], [1]]


def rays(size: tuple[int, int], intrinsics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x/z and y/z of every pixel: (H, W) each."""
    v, u = np.indices(size, np.float64)
    return (u - intrinsics[0, 2]) / intrinsics[0, 0], (v - intrinsics[1, 2]) / intrinsics[1, 1]


def normals(depth: np.ndarray, intrinsics: np.ndarray, window: int | None = None) -> np.ndarray:
    """Unit normals float64 (H, W, 3), zero where there is no depth, or too little around.

    A plane is linear in inverse depth over the image: 1/z = a·x/z + b·y/z + c with (a, b, c) along its normal. It is
    fitted to each window by least squares, holes left out, which bears coarse steps of depth. A pixel takes the plane
    of the window around it, or of one with the pixel at its border if that fits far better, as it does beside an edge.

    Args:
        window: side in pixels, odd; None takes 1/24 of the height, at least 5.
    """
    z = to_meters(depth)
    known = z > 0
    side = window or max(5, z.shape[0] // 24 | 1)
    x, y = rays(z.shape, intrinsics)
    w = np.divide(1.0, z, out=np.zeros_like(z), where=known)
    planes_3HW, variance = _fitted_planes(x, y, w, known, side)
    chosen_3HW = _best_of_nine(planes_3HW, variance, (x, y, w), side // 2)
    normals_HW3 = -np.moveaxis(np.where(known, chosen_3HW, 0.0), 0, 2)
    length = np.linalg.norm(normals_HW3, axis=2, keepdims=True)
    return np.divide(normals_HW3, length, out=np.zeros_like(normals_HW3), where=length > 0)


def _fitted_planes(
    x: np.ndarray, y: np.ndarray, w: np.ndarray, known: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """(a, b, c) of the window around every pixel (3, H, W), and the variance (H, W) of what it leaves; 0 and inf where
    there is too little depth."""

    def mean(values: np.ndarray) -> np.ndarray:
        total = cv2.boxFilter(np.where(known, values, 0.0), cv2.CV_64F, (side, side), normalize=False)
        return np.divide(total, count, out=np.zeros_like(total), where=count > 0)

    count = np.rint(cv2.boxFilter(known.astype(np.float64), cv2.CV_64F, (side, side), normalize=False))
    mx, my, mw = mean(x), mean(y), mean(w)
    cxx, cxy, cyy = mean(x * x) - mx * mx, mean(x * y) - mx * my, mean(y * y) - my * my
    cxw, cyw = mean(x * w) - mx * mw, mean(y * w) - my * mw
    determinant = cxx * cyy - cxy * cxy
    fitted = (count >= 3) & (determinant > 1e-3 * cxx * cyy)
    a = np.divide(cxw * cyy - cyw * cxy, determinant, out=np.zeros_like(w), where=fitted)
    b = np.divide(cyw * cxx - cxw * cxy, determinant, out=np.zeros_like(w), where=fitted)
    variance = np.maximum(mean(w * w) - mw * mw - a * cxw - b * cyw, 0)
    planes_3HW = np.stack([a, b, mw - a * mx - b * my]) * fitted
    return planes_3HW, np.where(fitted, variance, np.inf)


def _best_of_nine(
    planes_3HW: np.ndarray, variance: np.ndarray, point: tuple[np.ndarray, np.ndarray, np.ndarray], reach: int
) -> np.ndarray:
    """The plane of every pixel, from the windows around it and around the eight pixels `reach` away."""
    x, y, w = point
    height, width = w.shape
    border = ((reach, reach), (reach, reach))
    padded_3HW, far = np.pad(planes_3HW, ((0, 0), *border)), np.pad(variance, border, constant_values=np.inf)

    def shifted(dv: int, du: int) -> tuple[np.ndarray, np.ndarray]:
        there = np.s_[..., reach + dv : reach + dv + height, reach + du : reach + du + width]
        a, b, c = plane = padded_3HW[there]
        # Not only most of the window must lie in the plane, the pixel too.
        return plane, far[there] + (w - a * x - b * y - c) ** 2 + (_NOISE * w) ** 2

    best, cost = shifted(0, 0)
    best, cost = best.copy(), cost * _MUCH_BETTER
    for dv, du in product((-reach, 0, reach), repeat=2):
        plane, other = shifted(dv, du)
        better = other < cost
        np.copyto(best, plane, where=better)
        np.copyto(cost, other, where=better)
    return best


def gravity(normals_HW3: np.ndarray) -> np.ndarray:
    """Unit direction of gravity (3,): most surfaces stand or lie (Gupta et al. 2013, § 4.1).

    Starting from the camera's own "down", it is the direction to which normals that are nearly parallel are most
    parallel, and those nearly perpendicular most perpendicular: five rounds within 45°, five within 15°.
    """
    vectors_N3 = normals_HW3.reshape(-1, 3)
    vectors_N3 = vectors_N3[np.abs(vectors_N3).sum(1) > 0]
    down = np.array([0.0, 1.0, 0.0])
    for degrees in (45,) * 5 + (15,) * 5:
        along = np.abs(vectors_N3 @ down)
        parallel = vectors_N3[along > np.cos(np.radians(degrees))]
        perpendicular = vectors_N3[along < np.sin(np.radians(degrees))]
        if not len(parallel) + len(perpendicular):
            break
        scatter = perpendicular.T @ perpendicular - parallel.T @ parallel
        # One wall alone does not tell: the direction stays then.
        _, axes = np.linalg.eigh(scatter - 1e-3 * len(vectors_N3) * np.outer(down, down))
        down = axes[:, 0] * np.sign(axes[:, 0] @ down or 1.0)
    return down
