# SPDX-License-Identifier: Apache-2.0
"""CameraInfo messages to camera matrices; duck-typed, so that it needs no ROS."""

from __future__ import annotations

from typing import Any

import numpy as np

LARGEST_ASPECT_DIFFERENCE = 0.02


def same_aspect(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two image sizes (height, width) can show the same: rounding is allowed for, a cut is not."""
    return abs(size[1] * other[0] / (size[0] * other[1]) - 1) <= LARGEST_ASPECT_DIFFERENCE


def intrinsics(info: Any, size: tuple[int, int]) -> np.ndarray:
    """The camera matrix of an image that shows what `info` describes, at another resolution or not.

    Taken from P, the matrix of the rectified image, as image_geometry does; from K where a driver has no usable P.
    Distortion is not looked at. Pixel centers have whole coordinates, as in ROS. Binning needs no care: it changes the
    size alone.

    Args:
        info: a CameraInfo message.
        size: (height, width) of the image.

    Returns:
        float64 (3, 3), in pixels of the image: fx, fy on the diagonal, cx, cy in the last column.

    Raises:
        ValueError: the message has no size or no usable matrix, describes a part of the sensor, or an image of another
            aspect ratio.
    """
    _refuse_other_images(info, size)
    matrix = _matrix(info)
    return _resized(matrix, info, size) * [[1, 0, 1], [0, 1, 1], [1, 1, 1]]


def resized_fields(info: Any, size: tuple[int, int]) -> dict[str, Any]:
    """Return the fields by which a CameraInfo differs that describes the same image at another resolution.

    Args:
        info: a CameraInfo message.
        size: (height, width) of the image.

    Raises:
        ValueError: the message has no size, or one of another aspect ratio.
    """
    if (info.height, info.width) == size:
        return {}
    _refuse_other_images(info, size)
    k, p = (_resized(_values(info, *shape).reshape(3, -1), info, size).ravel() for shape in (("k", 9), ("p", 12)))
    return {"height": size[0], "width": size[1], "k": k, "p": p, "roi": type(info.roi)()}


def _resized(matrix: np.ndarray, info: Any, size: tuple[int, int]) -> np.ndarray:
    """Return K (3, 3) or P (3, 4) of the image that `info` describes, of a size (height, width) of it."""
    scales = np.array([[size[1] / info.width], [size[0] / info.height], [1.0]])
    resized = matrix * scales
    if matrix[2, 2]:
        resized[:, 2] = (matrix[:, 2] + 0.5) * scales[:, 0] - 0.5  # pixel centers are whole
    return resized


def _refuse_other_images(info: Any, size: tuple[int, int]) -> None:
    """Raise ValueError unless a message describes the whole image that is `size` (height, width) large here."""
    if info.width <= 0 or info.height <= 0:
        raise ValueError(f"expected a camera_info with the image's size, got {info.width}x{info.height} pixels")
    _refuse_part(info)
    if min(size) <= 0 or not same_aspect(size, (info.height, info.width)):
        raise ValueError(
            f"expected a camera_info of the aspect ratio of the {size[1]}x{size[0]} pixels of the image, "
            f"got {info.width}x{info.height}"
        )


def _refuse_part(info: Any) -> None:
    roi = info.roi
    window = (roi.x_offset, roi.y_offset, roi.width, roi.height)
    if window not in ((0, 0, 0, 0), (0, 0, info.width, info.height)):
        raise ValueError(
            f"expected a camera_info of the whole sensor, got a region of interest of {roi.width}x{roi.height} pixels "
            f"at ({roi.x_offset}, {roi.y_offset}); publish the camera_info of the cropped image instead"
        )


def _matrix(info: Any) -> np.ndarray:
    """The left (3, 3) of P, or K where P is zeros or not finite: then nothing was rectified."""
    p, k = _values(info, "p", 12).reshape(3, 4)[:, :3], _values(info, "k", 9).reshape(3, 3)
    matrix, name = (p, "p") if p.any() and np.isfinite(p).all() else (k, "k")
    if not matrix.any():
        raise ValueError("expected a calibrated camera_info, got zeros for k and no p; calibrate the camera")
    if not np.isfinite(matrix).all() or min(matrix[0, 0], matrix[1, 1]) <= 0 or tuple(matrix[2]) != (0, 0, 1):
        rows = "fx 0 cx, 0 fy cy, 0 0 1"
        raise ValueError(f"expected {name} of camera_info to be {rows} with fx, fy > 0, got {matrix.tolist()}")
    return matrix


def _values(info: Any, name: str, length: int) -> np.ndarray:
    """Field k or p of a message, which ROS 1 writes in capitals."""
    values = np.asarray(getattr(info, name, getattr(info, name.upper(), ())), np.float64)
    if values.shape != (length,):
        raise ValueError(f"expected {length} values in {name} of camera_info, got {values.size}")
    return values


def pinhole(intrinsics: np.ndarray) -> dict[str, np.ndarray]:
    """d, k, r and p, flat as a CameraInfo has them, of a camera without distortion; `intrinsics` (3, 3) in pixels."""
    matrix = intrinsics.astype(float)
    projection = np.hstack([matrix, np.zeros((3, 1))])
    return {"d": np.zeros(5), "k": matrix.ravel(), "r": np.eye(3).ravel(), "p": projection.ravel()}
