# SPDX-License-Identifier: Apache-2.0
"""Image messages laid out by hand, and a slow, obvious reading of them, pixel by pixel."""

from __future__ import annotations

import struct
from types import SimpleNamespace

# encoding: (struct's letter of one value, what the values of a pixel are)
PACKED = {
    "rgb8": ("B", "RGB"),
    "bgr8": ("B", "BGR"),
    "rgba8": ("B", "RGBA"),
    "bgra8": ("B", "BGRA"),
    "mono8": ("B", "Y"),
    "8UC1": ("B", "Y"),
    "8UC3": ("B", "BGR"),
    "8UC4": ("B", "BGRA"),
    "rgb16": ("H", "RGB"),
    "bgr16": ("H", "BGR"),
    "rgba16": ("H", "RGBA"),
    "bgra16": ("H", "BGRA"),
}
YUV_PAIRS = {"uyvy": "uyvy", "yuv422": "uyvy", "yuyv": "yuyv", "yuv422_yuy2": "yuyv"}  # bytes of two pixels
YUV_PLANES = {"nv12": "uv", "nv21": "vu"}  # bytes of four pixels in the second plane
MOSAICS = {f"bayer_{pattern}{bits}": pattern for pattern in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16)}
DEPTH = {"16UC1": "H", "mono16": "H", "32FC1": "f", "64FC1": "d"}
LABELS = {"mono8": "B", "8UC1": "B", "16SC1": "h", "16UC1": "H", "mono16": "H", "32SC1": "i"}


def pixel_bytes(encoding):
    letter, values = PACKED.get(encoding, (DEPTH.get(encoding, LABELS.get(encoding)), "Y"))
    if letter is None:
        letter, values = ("H" if encoding.endswith("16") else "B"), ("YU" if encoding in YUV_PAIRS else "Y")
    return struct.calcsize(letter) * len(values)


def random_image(random, encoding, height, width, padding=0, bigendian=0, **message):
    """The fields of a valid message of random bytes; every row ends with `padding` bytes of rubbish."""
    step = width * pixel_bytes(encoding) + padding
    rows = height * 3 // 2 if encoding in YUV_PLANES else height
    return SimpleNamespace(
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=bigendian,
        step=step,
        data=random.bytes(rows * step),
        **message,
    )


def values_at(msg, letter, row, column, count=1, pixel=None):
    """`count` values of the pixel at (row, column), which starts `pixel` bytes after its left neighbor."""
    form = f"{'>' if msg.is_bigendian else '<'}{count}{letter}"
    pixel = struct.calcsize(form) if pixel is None else pixel
    return struct.unpack_from(form, msg.data, row * msg.step + column * pixel)


def rgb_reference(msg):
    """Rows of (R, G, B)."""
    read = next(read for table, read in _READERS if msg.encoding in table)
    return [[read(msg, row, column) for column in range(msg.width)] for row in range(msg.height)]


def plane_reference(msg, letter):
    """Rows of one value."""
    return [[values_at(msg, letter, row, column)[0] for column in range(msg.width)] for row in range(msg.height)]


def _packed(msg, row, column):
    letter, names = PACKED[msg.encoding]
    values = values_at(msg, letter, row, column, len(names))
    named = {name: value >> (8 if letter == "H" else 0) for name, value in zip(names, values, strict=True)}
    return (named["Y"],) * 3 if names == "Y" else tuple(named[name] for name in "RGB")


def _yuv_pair(msg, row, column):
    order = YUV_PAIRS[msg.encoding]
    four = values_at(msg, "B", row, column // 2, 4)
    luma = [value for value, name in zip(four, order, strict=True) if name == "y"][column % 2]
    return _bt601(luma, four[order.index("u")], four[order.index("v")])


def _yuv_planes(msg, row, column):
    two = values_at(msg, "B", msg.height + row // 2, column // 2, 2)
    u, v = (two[YUV_PLANES[msg.encoding].index(name)] for name in "uv")
    return _bt601(values_at(msg, "B", row, column)[0], u, v)


def _bt601(y, u, v):
    """ITU-R BT.601 with black at 16 and below, and white at 235."""
    y, u, v = 255 / 219 * (max(y, 16) - 16), 255 / 224 * (u - 128), 255 / 224 * (v - 128)
    red, blue = y + 1.402 * v, y + 1.772 * u
    green = (y - 0.299 * red - 0.114 * blue) / 0.587
    return tuple(min(max(value, 0), 255) for value in (red, green, blue))


def _mosaic(msg, row, column):
    """A pixel's own color, and of the other two the mean of those among its eight neighbors."""
    letter, pattern = "H" if msg.encoding.endswith("16") else "B", MOSAICS[msg.encoding]
    seen = {"r": [], "g": [], "b": []}
    for y in range(max(row - 1, 0), min(row + 2, msg.height)):
        for x in range(max(column - 1, 0), min(column + 2, msg.width)):
            value = values_at(msg, letter, y, x)[0] >> (8 if letter == "H" else 0)
            seen[pattern[y % 2 * 2 + x % 2]].append((value, (y, x) == (row, column)))
    own = {color: [value for value, here in values if here] for color, values in seen.items()}
    means = {color: [value for value, _ in values] for color, values in seen.items()}
    return tuple((own[color] or [sum(means[color]) / len(means[color])])[0] for color in "rgb")


_READERS = ((PACKED, _packed), (YUV_PAIRS, _yuv_pair), (YUV_PLANES, _yuv_planes), (MOSAICS, _mosaic))
