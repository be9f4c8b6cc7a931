# SPDX-License-Identifier: Apache-2.0
"""Image and CompressedImage messages to arrays and back; duck-typed, so that it needs no ROS.

Messages of rclpy and of the rosbags library serve alike. H height, W width.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from cen_ros.messages import bridge
from cen_ros.messages.camera_model import same_aspect
from cen_ros.messages.compressed import compressed_color, compressed_depth, compressed_labels, is_compressed
from cen_ros.messages.encodings import COLOR, DEPTH, LABEL, pixels_of, to_depth, to_labels, to_rgb

COLOR_ENCODINGS = tuple(COLOR)
DEPTH_ENCODINGS = tuple(DEPTH)
LABEL_ENCODINGS = tuple(LABEL)
_LAYOUTS = {**COLOR, **DEPTH, **LABEL}


def color_to_array(msg: Any) -> np.ndarray:
    """uint8 (H, W, 3) RGB of a color message; a view of `msg.data` (padded rows included) for rgb8 and rgba8.

    Encodings that are neither in COLOR_ENCODINGS nor in DEPTH_ENCODINGS are left to cv_bridge.

    Raises:
        ValueError: the message is malformed, not color, or of an encoding that nobody here can read.
    """
    if is_compressed(msg):
        return compressed_color(msg)
    if msg.encoding in COLOR:
        layout = COLOR[msg.encoding]
        return to_rgb(pixels_of(msg, layout), layout)
    pixels = _bridged(msg, "rgb8", COLOR_ENCODINGS, DEPTH_ENCODINGS)
    if pixels.dtype != np.uint8 or pixels.shape != (msg.height, msg.width, 3):
        raise ValueError(f"expected RGB pixels of cv_bridge for {msg.encoding!r}, got {_kind(pixels)}")
    return pixels


def depth_to_array(msg: Any) -> np.ndarray:
    """uint16 mm or float32 m (H, W) of a depth message, holes as they came (0, NaN, inf); a view where it can be one.

    Raises:
        ValueError: the message is malformed, not depth, or of an encoding that nobody here can read.
    """
    if is_compressed(msg):
        return compressed_depth(msg)
    if msg.encoding in DEPTH:
        return to_depth(pixels_of(msg, DEPTH[msg.encoding]))
    pixels = _bridged(msg, "passthrough", DEPTH_ENCODINGS, COLOR_ENCODINGS)
    if pixels.dtype not in (np.uint16, np.float32) or pixels.shape != (msg.height, msg.width):
        raise ValueError(f"expected 16UC1 or 32FC1 of cv_bridge for {msg.encoding!r}, got {_kind(pixels)}")
    return pixels


def label_to_array(msg: Any) -> np.ndarray:
    """uint8 (H, W) class ids of a label message; what is outside 0..254 becomes 255, unlabeled.

    Raises:
        ValueError: the message is malformed, of another encoding, or a JPEG, which alters labels.
    """
    if is_compressed(msg):
        return compressed_labels(msg)
    if msg.encoding not in LABEL:
        raise ValueError(_unknown(msg, LABEL_ENCODINGS))
    return to_labels(pixels_of(msg, LABEL[msg.encoding])[..., 0])


def image_to_array(msg: Any) -> np.ndarray:
    """`depth_to_array` of a message with a depth encoding, `color_to_array` of all others."""
    return depth_to_array(msg) if getattr(msg, "encoding", None) in DEPTH else color_to_array(msg)


def _bridged(msg: Any, to: str, own: tuple[str, ...], opposite: tuple[str, ...]) -> np.ndarray:
    if msg.encoding in opposite:
        raise ValueError(_unknown(msg, own))
    try:
        return bridge.convert(msg, to)
    except ValueError as error:
        raise ValueError(f"{_unknown(msg, own)}; {error}") from error


def _unknown(msg: Any, encodings: tuple[str, ...]) -> str:
    return f"expected one of the encodings {', '.join(encodings)}, got {msg.encoding!r}"


def _kind(pixels: np.ndarray) -> str:
    return f"{pixels.dtype} of shape {pixels.shape}"


NAMES = ("color image", "depth image")


def sensor_arrays(rgb: Any, depth: Any | None, names: tuple[str, str] = NAMES) -> tuple[np.ndarray, np.ndarray | None]:
    """The arrays of a color and a depth message: uint8 (H, W, 3) RGB and uint16 mm or float32 m (h, w).

    Args:
        depth: None where it is missing.
        names: what errors call the two messages, such as their topics.

    Raises:
        ValueError: a message is malformed or not of its kind, or the two differ in aspect ratio.
    """
    rgb_array = _named(color_to_array, rgb, f"{names[0]}: expected a color image")
    if depth is None:
        return rgb_array, None
    depth_array = _named(depth_to_array, depth, f"{names[1]}: expected a depth image")
    (height, width), (depth_height, depth_width) = rgb_array.shape[:2], depth_array.shape
    if not same_aspect((depth_height, depth_width), (height, width)):
        raise ValueError(
            f"{names[1]}: expected depth registered to the {width}x{height} pixels of {names[0]} (or of that aspect "
            f"ratio), got {depth_width}x{depth_height}; use the camera's aligned depth"
        )
    return rgb_array, depth_array


def rgbd_arrays(rgb: Any, depth: Any, names: tuple[str, str] = NAMES) -> tuple[np.ndarray, np.ndarray]:
    """`sensor_arrays`, with depth at the color image's size."""
    rgb_array, depth_array = sensor_arrays(rgb, depth, names)
    return rgb_array, nearest(depth_array, rgb_array.shape[:2])


def nearest(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image (h, w) or (h, w, C) at the size (H, W), by nearest neighbor.

    Blending would invent classes, and surfaces between an object and its background.
    """
    if image.shape[:2] == size:
        return image
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_NEAREST)


def _named(convert: Callable[[Any], np.ndarray], msg: Any, expectation: str) -> np.ndarray:
    try:
        return convert(msg)
    except ValueError as error:
        raise ValueError(f"{expectation}; {error}") from error


def array_to_image(array_: np.ndarray, encoding: str, header: Any, message_type: type) -> Any:
    """An Image message of `message_type` with the pixels of an (H, W) or (H, W, channels) array; step has no padding.

    Raises:
        ValueError: type or shape of the array do not fit the encoding.
    """
    layout = _LAYOUTS[encoding]
    shape = array_.shape if array_.ndim == 3 else (*array_.shape, 1)
    if array_.dtype != layout.value or len(shape) != 3 or shape[2] != layout.channels:
        expected = f"{np.dtype(layout.value)} with {layout.channels} channel(s)"
        raise ValueError(f"expected {expected} for {encoding}, got {_kind(array_)}")
    msg = message_type()
    msg.header = header
    msg.height, msg.width = shape[0] * 2 // layout.rows, shape[1]
    msg.encoding = encoding
    msg.is_bigendian = int(sys.byteorder == "big")
    msg.step = msg.width * layout.channels * array_.itemsize
    data = array("B")  # rclpy takes an array.array as it is; a list or bytes it would check value by value
    data.frombytes(np.ascontiguousarray(array_).reshape(-1).view(np.uint8))
    msg.data = data
    return msg
