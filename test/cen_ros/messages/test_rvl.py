# SPDX-License-Identifier: Apache-2.0
"""RVL depth, coded here one number at a time as the paper describes it, and what damaged data are told."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import numpy as np
import pytest

from cen_ros.messages.codecs import MAX_PIXELS
from cen_ros.messages.images import depth_to_array
from cen_ros.messages.rvl import decode_rvl


def nibbles_of(number: int) -> list[int]:
    chain = []
    while True:
        number, low = number >> 3, number & 7
        chain.append(low | 8 if number else low)
        if not number:
            return chain


def encode(image: np.ndarray) -> bytes:
    """Width, height and RVL of an image."""
    pixels, numbers, at, before = image.ravel().tolist(), [], 0, 0
    while at < len(pixels):
        start = at
        while at < len(pixels) and pixels[at] == 0:
            at += 1
        zeros, start = at - start, at
        while at < len(pixels) and pixels[at] != 0:
            at += 1
        numbers += [zeros, at - start]
        for value in pixels[start:at]:
            step, before = value - before, value
            numbers.append(2 * step if step >= 0 else -2 * step - 1)
    nibbles = [nibble for number in numbers for nibble in nibbles_of(number)]
    nibbles += [0] * (-len(nibbles) % 8)
    words = [int("".join(f"{nibble:x}" for nibble in nibbles[k : k + 8]), 16) for k in range(0, len(nibbles), 8)]
    return struct.pack("<II", image.shape[1], image.shape[0]) + struct.pack(f"<{len(words)}I", *words)


def noisy(seed: int, holes: float, size: tuple[int, int] = (24, 31)) -> np.ndarray:
    random = np.random.default_rng(seed)
    depth = random.integers(1, 2 ** random.integers(2, 17), size).clip(max=65535)
    return np.where(random.random(size) < holes, 0, depth).astype(np.uint16)


@pytest.mark.parametrize("holes", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_what_was_coded_comes_back(seed: int, holes: float) -> None:
    image = noisy(seed, holes)
    np.testing.assert_array_equal(decode_rvl(encode(image)), image)


@pytest.mark.parametrize("row", [[0], [1], [65535, 1, 65535], [0, 0, 7], [7, 0, 0], [0, 65535, 0, 1]])
def test_short_images_and_the_largest_steps(row: list[int]) -> None:
    image = np.array([row], np.uint16)
    np.testing.assert_array_equal(decode_rvl(encode(image)), image)


def message(format_: str, data: bytes) -> SimpleNamespace:
    return SimpleNamespace(format=format_, data=data)


def test_depth_in_millimeters_is_read_from_a_message() -> None:
    image = noisy(0, 0.3)
    got = depth_to_array(message("16UC1; compressedDepth rvl", bytes(12) + encode(image)))
    assert got.dtype == np.uint16
    np.testing.assert_array_equal(got, image)


def test_depth_in_meters_is_what_its_publisher_quantized() -> None:
    values, a, b = noisy(1, 0.2), 10100.0, -1009.0
    got = depth_to_array(message("32FC1; compressedDepth rvl", struct.pack("<iff", 0, a, b) + encode(values)))
    expected = [[a / (v - b) if v else np.nan for v in row] for row in values.tolist()]
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "expected RVL data with a size in front, got 0 bytes"),
        (struct.pack("<II", 0, 5), "at most 64 million pixels, got 0x5"),
        (struct.pack("<II", 2**31, 2**31), "at most 64 million pixels, got 2147483648x2147483648"),
        (struct.pack("<II", MAX_PIXELS, 1), f"are torn: 0 of {MAX_PIXELS} pixels are there"),
        (encode(noisy(0, 0.5))[:-8], r"the RVL data are torn: \d+ of 744 pixels are there"),
        (struct.pack("<III", 4, 1, 0x05000000), "corrupt: a run of 0 zeros and 5 values at pixel 0"),
        (struct.pack("<III", 4, 1, 0), "corrupt: a run of 0 zeros and 0 values at pixel 0"),
        (struct.pack("<IIII", 4, 1, 0xFFFFFFFF, 0xFFFFFFFF) + bytes(4), "corrupt: a number has more than 32 bits"),
        (struct.pack("<III", 1, 1, 0x01100000), "corrupt: a depth is not of 16 bits"),
    ],
)
def test_damaged_data_are_refused_in_words(data: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        decode_rvl(data)


def test_random_bytes_never_do_worse_than_a_refusal() -> None:
    random = np.random.default_rng(2)
    for _ in range(300):
        data = struct.pack("<II", *random.integers(1, 40, 2)) + random.bytes(int(random.integers(0, 200)))
        try:
            assert decode_rvl(data).dtype == np.uint16
        except ValueError as error:
            assert "RVL data are" in str(error)
