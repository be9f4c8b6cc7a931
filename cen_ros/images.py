# SPDX-License-Identifier: Apache-2.0
"""Image messages to arrays and back, without cv_bridge; duck-typed, so that it needs no ROS.

H height, W width.
"""

from __future__ import annotations

import sys
from array import array
from typing import Any

import cv2
import numpy as np

# encoding: (type of one value, values per pixel)
_LAYOUTS = {
    "rgb8": (np.uint8, 3),
    "bgr8": (np.uint8, 3),
    "rgba8": (np.uint8, 4),
    "bgra8": (np.uint8, 4),
    "mono8": (np.uint8, 1),
    "16UC1": (np.uint16, 1),
    "mono16": (np.uint16, 1),
    "32FC1": (np.float32, 1),
}
_TO_RGB = {"bgr8": cv2.COLOR_BGR2RGB, "bgra8": cv2.COLOR_BGRA2RGB, "mono8": cv2.COLOR_GRAY2RGB}
COLOR_ENCODINGS = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8")
DEPTH_ENCODINGS = ("16UC1", "mono16", "32FC1")


def image_to_array(msg: Any) -> np.ndarray:
    """The pixels of an Image message: colour as uint8 (H, W, 3) RGB, depth as uint16 mm or float32 m (H, W).

    The result is a view of `msg.data` (padded rows included) unless values have to be moved: bgr8, bgra8, mono8 and
    the other byte order are copied.

    Raises:
        ValueError: the encoding is unknown, the image is empty, or step or data are too short for its size.
    """
    if msg.encoding not in _LAYOUTS:
        raise ValueError(f"expected one of the encodings {', '.join(_LAYOUTS)}, got {msg.encoding!r}")
    raw = _view(msg, *_LAYOUTS[msg.encoding])
    if msg.encoding in DEPTH_ENCODINGS:
        return _native(raw[..., 0])
    if msg.encoding in _TO_RGB:
        return cv2.cvtColor(np.ascontiguousarray(raw), _TO_RGB[msg.encoding])
    return raw[..., :3]


def _view(msg: Any, value: type, channels: int) -> np.ndarray:
    """`msg.data` as (H, W, channels) in the byte order of the message, without a copy."""
    dtype = np.dtype(value).newbyteorder(">" if msg.is_bigendian else "<")
    row = msg.width * channels * dtype.itemsize
    if row == 0 or msg.height == 0:
        raise ValueError(f"expected an image, got {msg.width}x{msg.height} pixels")
    if msg.step < row:
        raise ValueError(f"expected a step of at least {row} bytes ({msg.width} pixels {msg.encoding}), got {msg.step}")
    needed = msg.step * (msg.height - 1) + row  # some drivers leave out the padding of the last row
    if len(msg.data) < needed:
        raise ValueError(f"expected {needed} bytes of data ({msg.height} rows, step {msg.step}), got {len(msg.data)}")
    strides = (msg.step, channels * dtype.itemsize, dtype.itemsize)
    return np.ndarray((msg.height, msg.width, channels), dtype, msg.data, strides=strides)


def _native(array_: np.ndarray) -> np.ndarray:
    """The same values in this machine's byte order, with strides that PyTorch accepts (whole values)."""
    if array_.dtype.isnative and array_.strides[0] % array_.itemsize == 0:
        return array_
    return array_.astype(array_.dtype.newbyteorder("="))


def rgbd_arrays(
    rgb: Any, depth: Any, names: tuple[str, str] = ("colour image", "depth image")
) -> tuple[np.ndarray, np.ndarray]:
    """The arrays of a colour and a depth message: uint8 (H, W, 3) RGB and uint16 mm or float32 m (H, W).

    Depth of another resolution is brought to the colour image's by nearest neighbour: blending would invent surfaces
    between an object and its background.

    Args:
        names: what errors call the two messages, such as their topics.

    Raises:
        ValueError: a message is malformed or not of its kind, or the two differ in aspect ratio.
    """
    rgb_array = _array_of(rgb, COLOR_ENCODINGS, f"{names[0]}: expected a colour image")
    depth_array = _array_of(depth, DEPTH_ENCODINGS, f"{names[1]}: expected a depth image")
    if depth_array.shape == rgb_array.shape[:2]:
        return rgb_array, depth_array
    if abs(depth.width * rgb.height / (depth.height * rgb.width) - 1) > 0.02:
        raise ValueError(
            f"{names[1]}: expected depth registered to the {rgb.width}x{rgb.height} pixels of {names[0]} (or of that "
            f"aspect ratio), got {depth.width}x{depth.height}; use the camera's aligned depth"
        )
    return rgb_array, cv2.resize(depth_array, (rgb.width, rgb.height), interpolation=cv2.INTER_NEAREST)


def _array_of(msg: Any, encodings: tuple[str, ...], expectation: str) -> np.ndarray:
    if msg.encoding not in encodings:
        raise ValueError(f"{expectation} ({', '.join(encodings)}), got {msg.encoding!r}")
    try:
        return image_to_array(msg)
    except ValueError as error:
        raise ValueError(f"{expectation}; {error}") from error


def array_to_image(array_: np.ndarray, encoding: str, header: Any, message_type: type) -> Any:
    """An Image message of `message_type` with the pixels of an (H, W) or (H, W, channels) array; step has no padding.

    Raises:
        ValueError: type or shape of the array do not fit the encoding.
    """
    value, channels = _LAYOUTS[encoding]
    shape = array_.shape if array_.ndim == 3 else (*array_.shape, 1)
    if array_.dtype != value or len(shape) != 3 or shape[2] != channels:
        expected = f"{np.dtype(value)} with {channels} channel(s)"
        raise ValueError(f"expected {expected} for {encoding}, got {array_.dtype} of shape {array_.shape}")
    msg = message_type()
    msg.header = header
    msg.height, msg.width = shape[:2]
    msg.encoding = encoding
    msg.is_bigendian = int(sys.byteorder == "big")
    msg.step = msg.width * channels * array_.itemsize
    data = array("B")  # rclpy takes an array.array as it is; a list or bytes it would check value by value
    data.frombytes(np.ascontiguousarray(array_).reshape(-1).view(np.uint8))
    msg.data = data
    return msg
