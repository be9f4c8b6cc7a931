# SPDX-License-Identifier: Apache-2.0
"""CompressedImage messages to arrays, as image_transport's plugins `compressed` and `compressedDepth` write them.

`format` names the encoding of the image before compression: "rgb8; jpeg compressed bgr8", "16UC1; compressedDepth png",
"16UC1; compressedDepth rvl"; many drivers write "jpeg" or "png" alone. Duck-typed, so that it needs no ROS.
H height, W width.
"""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np

from cen_ros.messages.codecs import PNG_SIGNATURE, decode, inspect
from cen_ros.messages.encodings import COLOR, DEPTH, to_labels, to_rgb
from cen_ros.messages.rvl import decode_rvl

DEPTH_HEADER = struct.Struct("<iff")  # in front of compressedDepth's data: kind, then a and b of inverse depth
_PNG_TOPICS = "publish it as PNG (image_transport's compressedDepth, or compressed with format: png)"


def is_compressed(msg: Any) -> bool:
    """Whether a message is a CompressedImage, not an Image."""
    return hasattr(msg, "format")


def compressed_color(msg: Any) -> np.ndarray:
    """uint8 (H, W, 3) RGB of a color JPEG, PNG or WebP; 16-bit values keep their upper 8 bits, alpha is dropped.

    Raises:
        ValueError: the data are torn, corrupt or too large, or a 16-bit gray image, which is depth.
    """
    encoding = _original(msg.format)
    if encoding in DEPTH:
        raise ValueError(f"expected compressed color, got {msg.format!r}, which is depth")
    data = bytes(memoryview(msg.data))
    image = inspect(data)
    if image.gray and image.bits > 8:
        raise ValueError(f"expected compressed color, got {image} ({msg.format!r}), which looks like depth")
    if image.gray and encoding.startswith("bayer_") and encoding in COLOR:  # a mosaic, compressed as if it were gray
        COLOR[encoding].check_size(image.height, image.width, encoding)
        return to_rgb(decode(data, image, cv2.IMREAD_GRAYSCALE), COLOR[encoding])
    pixels = decode(data, image, cv2.IMREAD_COLOR)
    if encoding in COLOR and "compressed rgb" in msg.format:
        return pixels  # by image_transport's rule red and blue were exchanged when the file was written
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def compressed_depth(msg: Any) -> np.ndarray:
    """uint16 mm or float32 m (H, W) of a depth PNG, with or without compressedDepth's header, or of its RVL.

    32FC1 was quantized as inverse depth; its 0 becomes NaN.

    Raises:
        ValueError: it is no RVL and not a PNG of one 16-bit value per pixel, or is torn, corrupt or too large.
    """
    data, rvl = bytes(memoryview(msg.data)), "rvl" in msg.format.lower()
    headed = rvl or data.startswith(PNG_SIGNATURE, DEPTH_HEADER.size)
    body = data[DEPTH_HEADER.size :] if headed else data
    values = decode_rvl(body) if rvl else _gray_png(body, msg.format, "16-bit", (16,))
    if _original(msg.format) != "32FC1":
        return values
    _, a, b = DEPTH_HEADER.unpack_from(data)
    if not headed or not (0 < a < np.inf and np.isfinite(b)):
        got = f"a={a}, b={b}" if headed else "none"
        raise ValueError(f"expected compressedDepth's header, with a quantization, before 32FC1 depth, got {got}")
    with np.errstate(all="ignore"):  # a value equal to b is infinitely far
        return np.where(values == 0, np.float32(np.nan), np.float32(a) / (values - np.float32(b)))


def compressed_labels(msg: Any) -> np.ndarray:
    """uint8 (H, W) of a PNG of gray 8- or 16-bit values; those above 254 become 255, unlabeled.

    Raises:
        ValueError: it is another image, or torn, corrupt or too large.
    """
    return to_labels(_gray_png(bytes(memoryview(msg.data)), msg.format, "8- or 16-bit", (8, 16)))


def _original(format_: str) -> str:
    """The encoding of the image before it was compressed, as far as `format` says it."""
    return format_.partition(";")[0].strip()


def _gray_png(data: bytes, format_: str, kind: str, bits: tuple[int, ...]) -> np.ndarray:
    image = inspect(data)
    expected = f"expected a PNG of {kind} gray, got {image} ({format_!r})"
    if image.codec != "PNG":
        raise ValueError(f"{expected}, which may alter depth and labels: {_PNG_TOPICS}")
    if not image.gray or image.bits not in bits:
        raise ValueError(expected)
    return decode(data, image, cv2.IMREAD_UNCHANGED)
