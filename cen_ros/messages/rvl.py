# SPDX-License-Identifier: Apache-2.0
"""RVL, lossless compression of depth (Wilson, "Fast Lossless Depth Image Compression", 2017), to arrays.

Runs of zeros and of other values take turns: the number of zeros, the number of values, and each value's difference
from the one before, its sign in the lowest bit. Every number is a chain of nibbles of three bits, lowest first, whose
highest bit tells that another one follows; eight nibbles fill a 32-bit word from its upper end.
"""

from __future__ import annotations

import struct

import numpy as np

from cen_ros.messages.codecs import MAX_PIXELS

_SIZE = struct.Struct("<II")
"""Width and height, in front of the words."""
_LONGEST = 11
"""Nibbles of a number of 32 bits, which is what its writers count in."""


def decode_rvl(data: bytes) -> np.ndarray:
    """Return the image uint16 (H, W) of RVL data that begin with its width and height, as image_transport has them.

    Raises:
        ValueError: the data are torn or corrupt, or the image is empty or larger than `MAX_PIXELS`.
    """
    if len(data) < _SIZE.size:
        raise ValueError(f"expected RVL data with a size in front, got {len(data)} bytes")
    width, height = _SIZE.unpack_from(data)
    if not 0 < width * height <= MAX_PIXELS:
        raise ValueError(f"expected an image of at most {MAX_PIXELS // 10**6} million pixels, got {width}x{height}")
    numbers = _numbers(data[_SIZE.size :])
    lengths, steps = _runs(numbers, width * height)
    values = np.cumsum((steps >> 1) ^ -(steps & 1))
    if len(values) and not 0 <= values.min() <= values.max() <= 0xFFFF:
        raise ValueError("the RVL data are corrupt: a depth is not of 16 bits")
    image = np.zeros(width * height, np.uint16)
    image[np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)] = values
    return image.reshape(height, width)


def _numbers(data: bytes) -> np.ndarray:
    """Return the numbers int64 (N,) that chains of nibbles tell; a chain that the end cuts off is left out."""
    upper_first = np.frombuffer(data[: len(data) // 4 * 4], "<u4").astype(">u4").view(np.uint8)
    nibbles = np.stack([upper_first >> 4, upper_first & 15], axis=1).ravel()
    ends = np.flatnonzero(nibbles < 8)
    starts = np.concatenate([[0], ends + 1])[: len(ends)]
    if len(ends) and (ends - starts).max() >= _LONGEST:
        raise ValueError("the RVL data are corrupt: a number has more than 32 bits")
    numbers = nibbles[starts].astype(np.int64) & 7
    longer, place = np.flatnonzero(starts < ends), 1
    while len(longer):
        numbers[longer] |= (nibbles[starts[longer] + place].astype(np.int64) & 7) << 3 * place
        longer, place = longer[starts[longer] + place < ends[longer]], place + 1
    return numbers


def _runs(numbers: np.ndarray, pixels: int) -> tuple[list[int], np.ndarray]:
    """Return the lengths of the runs, of zeros and of values in turn, and the coded differences of all values."""
    at, pixel, heads, lengths = 0, 0, [], []
    while pixel < pixels:
        zeros, count = (int(each) for each in numbers[at : at + 2]) if at + 2 <= len(numbers) else (0, -1)
        end = at + 2 + count
        if count < 0 or end > len(numbers):
            raise ValueError(f"the RVL data are torn: {pixel} of {pixels} pixels are there")
        if pixel + zeros + count > pixels or zeros + count == 0:
            raise ValueError(f"the RVL data are corrupt: a run of {zeros} zeros and {count} values at pixel {pixel}")
        heads += [at, at + 1]
        lengths += [zeros, count]
        at, pixel = end, pixel + zeros + count
    return lengths, np.delete(numbers[:at], heads)
