# SPDX-License-Identifier: Apache-2.0
"""Image files as arrays, whatever their encoding; a file that cannot be read is named."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image


def read_rgb(path: Path) -> np.ndarray:
    """Color: uint8 (H, W, 3) RGB; gray images are repeated, transparency is left out."""
    # Not rotated by EXIF: depth and labels are not either.
    image = _decoded(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return np.ascontiguousarray(image[..., ::-1])


def read_gray(path: Path) -> np.ndarray:
    """One channel, 8 or 16 bits, as it is stored: (H, W).

    Raises:
        ValueError: it cannot be read, or its channels differ.
    """
    image = _decoded(path, cv2.IMREAD_UNCHANGED)
    if image.ndim == 3:
        colors = image[..., :3]
        if (colors != colors[..., :1]).any():
            raise ValueError(f"{path}: expected one channel, found a color image")
        image = colors[..., 0]
    return np.ascontiguousarray(image)


def read_label(path: Path) -> np.ndarray:
    """Label values as they are stored (H, W), before any convention; of a palette PNG its indices, not its colors."""
    if path.suffix.lower() == ".npy":
        return read_array(path)
    try:
        with Image.open(path) as image:
            if image.mode in ("P", "1"):  # of which OpenCV makes colors, and 0 and 255
                return np.asarray(image).astype(np.uint8)
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises each of them for damaged files
        raise _unreadable(path) from error
    return read_gray(path)


def read_depth(path: Path) -> np.ndarray:
    """Depth (H, W): uint16 as it is stored, or of a .npy file float32 meters.

    Raises:
        ValueError: it cannot be read, or has 8 bits: a picture of depth, whose scale nobody knows.
    """
    if path.suffix.lower() == ".npy":
        return read_array(path).astype(np.float32)
    values = read_gray(path)
    if values.dtype != np.uint16:
        raise ValueError(
            f"{path}: expected depth of 16 bits, found {values.dtype}: made to be looked at, without a scale"
        )
    return values


def read_scaled_depth(path: Path, scale: float | None) -> np.ndarray:
    """Depth as of `read_depth`, or of a picture of 8 bits float32 meters, of which `scale` steps make one; 0 = hole.

    Raises:
        ValueError: it cannot be read, or has 8 bits and there is no scale.
    """
    if path.suffix.lower() == ".npy":
        return read_depth(path)
    values = read_gray(path)
    if values.dtype == np.uint16:
        return values
    if scale is None:
        raise ValueError(
            f"{path}: depth of 8 bits, without a scale: data.depth_scale=25.5, for one, reads 0 to 255 as 0 to 10 m. "
            "What is trained on it works with depth of the same making alone, not with a camera's"
        )
    return values.astype(np.float32) / scale


def image_size(path: Path) -> tuple[int, int]:
    """Height and width in pixels; an image file is only opened, not read."""
    if path.suffix.lower() == ".npy":
        return read_array(path).shape
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError) as error:
        raise _unreadable(path) from error


def read_plane(path: Path) -> np.ndarray:
    """One channel of 8 bits (H, W). Raises ValueError for others: nobody knows what their values go up to."""
    values = read_gray(path)
    if values.dtype != np.uint8:
        raise ValueError(f"{path}: expected one channel of 8 bits, found {values.dtype}; scale it to 0 to 255")
    return values


def read_array(path: Path) -> np.ndarray:
    """A .npy file of numbers (H, W). Raises ValueError if it is none."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as a .npy file: {error}") from error
    if array.ndim != 2 or array.dtype.kind not in "iuf":
        raise ValueError(f"{path}: expected one number per pixel (H, W), found {array.dtype} of shape {array.shape}")
    return array


def _decoded(path: Path, flags: int) -> np.ndarray:
    # Not cv2.imread: it prints a warning of its own, and cannot open every name on every system.
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), flags)
    except (OSError, cv2.error) as error:
        raise _unreadable(path) from error
    if image is None:
        raise _unreadable(path)
    return image


def _unreadable(path: Path) -> ValueError:
    why = "it is not there" if not path.exists() else "it is no image, or damaged"
    return ValueError(f"{path}: cannot be read: {why}")
