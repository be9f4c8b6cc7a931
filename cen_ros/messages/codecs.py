# SPDX-License-Identifier: Apache-2.0
"""JPEG, PNG and WebP bytes to pixels, guarded: the size is read and limited before anything is decoded.

H height, W width.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import cv2
import numpy as np

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PIXELS = 64_000_000
_NOT_READ = {
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"\0\0\0\1": "a part of a video (H.264, H.265)",
    b"\0\0\1": "a part of a video (H.264, H.265)",
}
"""Larger images are refused: a few bytes can announce, and decode to, gigabytes."""
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # start-of-frame markers
_JPEG_END = b"\xff\xd9"


@dataclass(frozen=True)
class CodedImage:
    """What the head of a coded image says.

    Attributes:
        codec: "JPEG", "PNG" or "WebP".
        bits: per value.
        gray: whether a pixel is one value (and no entry of a palette).
    """

    codec: str
    width: int
    height: int
    bits: int = 8
    gray: bool = False

    def __str__(self) -> str:
        return f"a {self.codec} of {self.bits}-bit {'gray' if self.gray else 'color'}"


def inspect(data: bytes) -> CodedImage:
    """Read the head of a coded image.

    Raises:
        ValueError: it is none of the three, torn, empty, or larger than `MAX_PIXELS`.
    """
    try:
        image = _inspect(data)
    except (struct.error, IndexError) as error:
        raise ValueError(f"expected a whole image, got {len(data)} bytes that end too early") from error
    if image.width == 0 or image.height == 0:
        raise ValueError(f"expected an image, got {image.width}x{image.height} pixels")
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width}x{image.height} pixels"
        raise ValueError(f"expected at most {MAX_PIXELS // 10**6} million pixels, got a {image.codec} of {size}")
    return image


def _inspect(data: bytes) -> CodedImage:
    if data.startswith(PNG_SIGNATURE):
        return _inspect_png(data)
    if data.startswith(b"\xff\xd8"):
        return _inspect_jpeg(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _inspect_webp(data)
    start = data[:8].hex(" ") or "no data"
    known = next((f", {name}, which is not read" for head, name in _NOT_READ.items() if data.startswith(head)), "")
    raise ValueError(f"expected a JPEG, PNG or WebP image, got {len(data)} bytes that start with {start}{known}")


def _inspect_png(data: bytes) -> CodedImage:
    at, name = len(PNG_SIGNATURE), b""
    while name != b"IEND":  # OpenCV 5 allocates what a chunk's length announces, even where the data end before
        length, name = struct.unpack_from(">I4s", data, at)
        at += 12 + length
    if at > len(data):
        raise ValueError(f"expected a whole PNG, got {len(data)} bytes without its end")
    width, height, bits, color_type = struct.unpack_from(">IIBB", data, len(PNG_SIGNATURE) + 8)
    return CodedImage("PNG", width, height, bits, gray=color_type == 0)


def _inspect_jpeg(data: bytes) -> CodedImage:
    if _JPEG_END not in data:  # some versions of OpenCV fill what is missing with gray
        raise ValueError(f"expected a whole JPEG, got {len(data)} bytes without its end")
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _JPEG_FRAMES:
            bits, height, width, channels = struct.unpack_from(">BHHB", data, at + 4)
            return CodedImage("JPEG", width, height, bits, gray=channels == 1)
        # 0xFF may be repeated before a marker; all others that can come before a frame are followed by their length
        at += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", data, at + 2)[0]
    raise ValueError("expected a JPEG, got one whose head is corrupt")


def _inspect_webp(data: bytes) -> CodedImage:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    elif kind == b"VP8L":
        sides = struct.unpack_from("<I", data, 21)[0]
        width, height = 1 + (sides & 0x3FFF), 1 + (sides >> 14 & 0x3FFF)
    elif kind == b"VP8X":
        low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", data, 24)  # of 24 bits each
        width, height = 1 + (high_width << 16 | low_width), 1 + (high_height << 16 | low_height)
    else:
        raise ValueError(f"expected a WebP image, got a first chunk {kind!r}")
    return CodedImage("WebP", width, height)


def decode(data: bytes, image: CodedImage, flags: int) -> np.ndarray:
    """The pixels, (H, W) or (H, W, channels) in OpenCV's order, of bytes whose head `inspect` has read.

    Raises:
        ValueError: the bytes are corrupt.
    """
    try:
        # A rotation noted by the camera is not applied: depth and camera_info are not rotated either.
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ValueError(f"expected a whole {image.codec}, got one that cannot be decoded: {error.err}") from error
    if pixels is None or pixels.shape[:2] != (image.height, image.width):
        raise ValueError(f"expected a whole {image.codec}, got {len(data)} bytes that are torn or corrupt")
    return pixels
