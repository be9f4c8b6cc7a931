# SPDX-License-Identifier: Apache-2.0
"""What the bytes of an Image message mean, by its encoding; duck-typed, so that it needs no ROS.

H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np


@dataclass(frozen=True)
class Layout:
    """How the pixels of an encoding lie in memory, and how they become RGB.

    Attributes:
        value: the type of one value.
        channels: values per pixel; 1 for planar YUV, whose planes are rows below one another.
        conversion: OpenCV's code from these pixels (as uint8) to RGB; None where the first three values are RGB.
        multiple: what height and width must be multiples of, because pixels share color.
        smallest: the least of height and width: without neighbors, OpenCV makes a Bayer mosaic black.
        rows: rows in memory for every two rows of the image; 3 where half as many rows of color follow.
    """

    value: type
    channels: int
    conversion: int | None = None
    multiple: tuple[int, int] = (1, 1)
    smallest: int = 1
    rows: int = 2

    def check_size(self, height: int, width: int, encoding: str) -> None:
        """Raise ValueError if an image of this encoding cannot have this size."""
        size = f"{width}x{height} pixels"
        if min(height, width) < self.smallest:
            raise ValueError(f"expected at least {self.smallest}x{self.smallest} pixels for {encoding}, got {size}")
        if height % self.multiple[0] or width % self.multiple[1]:
            even = "width and height" if self.multiple[0] > 1 else "width"
            raise ValueError(f"expected an even {even} for {encoding}, got {size}")


# Without a named order, OpenCV's own is blue first. "mono16" is depth: as a color image it would be ambiguous.
# Bayer encodings are named by the first two rows of the mosaic; OpenCV's codes by the second and third pixel of the
# second row, so that RGGB is "BG". (Its codes of four letters read alike, but Humble's OpenCV 4.5.4 lacks them.)
COLOR = {
    "rgb8": Layout(np.uint8, 3),
    "bgr8": Layout(np.uint8, 3, cv2.COLOR_BGR2RGB),
    "rgba8": Layout(np.uint8, 4),
    "bgra8": Layout(np.uint8, 4, cv2.COLOR_BGRA2RGB),
    "mono8": Layout(np.uint8, 1, cv2.COLOR_GRAY2RGB),
    "8UC1": Layout(np.uint8, 1, cv2.COLOR_GRAY2RGB),
    "8UC3": Layout(np.uint8, 3, cv2.COLOR_BGR2RGB),
    "8UC4": Layout(np.uint8, 4, cv2.COLOR_BGRA2RGB),
    "rgb16": Layout(np.uint16, 3),
    "bgr16": Layout(np.uint16, 3, cv2.COLOR_BGR2RGB),
    "rgba16": Layout(np.uint16, 4),
    "bgra16": Layout(np.uint16, 4, cv2.COLOR_BGRA2RGB),
    "uyvy": Layout(np.uint8, 2, cv2.COLOR_YUV2RGB_UYVY, multiple=(1, 2)),
    "yuv422": Layout(np.uint8, 2, cv2.COLOR_YUV2RGB_UYVY, multiple=(1, 2)),
    "yuyv": Layout(np.uint8, 2, cv2.COLOR_YUV2RGB_YUY2, multiple=(1, 2)),
    "yuv422_yuy2": Layout(np.uint8, 2, cv2.COLOR_YUV2RGB_YUY2, multiple=(1, 2)),
    "nv12": Layout(np.uint8, 1, cv2.COLOR_YUV2RGB_NV12, multiple=(2, 2), rows=3),
    "nv21": Layout(np.uint8, 1, cv2.COLOR_YUV2RGB_NV21, multiple=(2, 2), rows=3),
    "bayer_rggb8": Layout(np.uint8, 1, cv2.COLOR_BayerBG2RGB, smallest=3),
    "bayer_bggr8": Layout(np.uint8, 1, cv2.COLOR_BayerRG2RGB, smallest=3),
    "bayer_gbrg8": Layout(np.uint8, 1, cv2.COLOR_BayerGR2RGB, smallest=3),
    "bayer_grbg8": Layout(np.uint8, 1, cv2.COLOR_BayerGB2RGB, smallest=3),
    "bayer_rggb16": Layout(np.uint16, 1, cv2.COLOR_BayerBG2RGB, smallest=3),
    "bayer_bggr16": Layout(np.uint16, 1, cv2.COLOR_BayerRG2RGB, smallest=3),
    "bayer_gbrg16": Layout(np.uint16, 1, cv2.COLOR_BayerGR2RGB, smallest=3),
    "bayer_grbg16": Layout(np.uint16, 1, cv2.COLOR_BayerGB2RGB, smallest=3),
}
DEPTH = {
    "16UC1": Layout(np.uint16, 1),
    "mono16": Layout(np.uint16, 1),
    "32FC1": Layout(np.float32, 1),
    "64FC1": Layout(np.float64, 1),
}
LABEL = {
    "mono8": Layout(np.uint8, 1),
    "8UC1": Layout(np.uint8, 1),
    "16SC1": Layout(np.int16, 1),
    "16UC1": Layout(np.uint16, 1),
    "mono16": Layout(np.uint16, 1),
    "32SC1": Layout(np.int32, 1),
}


def pixels_of(msg: Any, layout: Layout) -> np.ndarray:
    """`msg.data` as (rows, W, channels) in the byte order of the message, without a copy.

    Raises:
        ValueError: the image is empty, of a size that the encoding cannot have, or step or data are too short for it.
    """
    dtype = np.dtype(layout.value).newbyteorder(">" if msg.is_bigendian else "<")
    layout.check_size(msg.height, msg.width, msg.encoding)
    row = msg.width * layout.channels * dtype.itemsize
    if msg.step < row:
        raise ValueError(f"expected a step of at least {row} bytes ({msg.width} pixels {msg.encoding}), got {msg.step}")
    rows = msg.height * layout.rows // 2
    needed = msg.step * (rows - 1) + row  # some drivers leave out the padding of the last row
    if len(msg.data) < needed:
        raise ValueError(f"expected {needed} bytes of data ({rows} rows, step {msg.step}), got {len(msg.data)}")
    strides = (msg.step, layout.channels * dtype.itemsize, dtype.itemsize)
    return np.ndarray((rows, msg.width, layout.channels), dtype, msg.data, strides=strides)


def to_rgb(pixels: np.ndarray, layout: Layout) -> np.ndarray:
    """uint8 (H, W, 3) RGB of pixels that lie as `layout` says; a view where no value has to be moved.

    16-bit values keep their upper 8 bits.
    """
    if pixels.dtype.itemsize == 2:
        pixels = (pixels >> 8).astype(np.uint8)
    return pixels[..., :3] if layout.conversion is None else cv2.cvtColor(pixels, layout.conversion)


def to_depth(pixels: np.ndarray) -> np.ndarray:
    """uint16 or float32 (H, W) of depth pixels (H, W, 1), in this machine's byte order; a view where it can be one."""
    plane = _native(pixels[..., 0])
    if plane.dtype != np.float64:
        return plane
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold becomes inf, a hole
        return plane.astype(np.float32)


def to_labels(values: np.ndarray) -> np.ndarray:
    """uint8 of integers of any type, same shape; what is outside 0..254 becomes 255, unlabeled."""
    if values.dtype == np.uint8:
        return values
    return np.where((values >= 0) & (values < 255), values, 255).astype(np.uint8)


def _native(values: np.ndarray) -> np.ndarray:
    """The same values in this machine's byte order, with strides that PyTorch accepts (whole, aligned values)."""
    if values.dtype.isnative and values.flags.aligned and values.strides[0] % values.itemsize == 0:
        return values
    return values.astype(values.dtype.newbyteorder("="))
