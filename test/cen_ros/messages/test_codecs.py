# SPDX-License-Identifier: Apache-2.0
"""Torn and oversized coded images, and the reading of their heads."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import numpy as np
import pytest

from cen_ros.messages import codecs
from cen_ros.messages.images import color_to_array, depth_to_array, label_to_array
from helpers.coded_images import LABELS, MM, RGB, H, Image, W, coded, png, png_rows

READERS = [color_to_array, depth_to_array, label_to_array]
JPEG, PNG = coded(RGB, "JPEG", quality=95), coded(RGB, "PNG")
DEPTH_PNG = png(W, H, 16, 0, png_rows(MM))


def message(format_, data):
    return SimpleNamespace(format=format_, data=data)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("data", [JPEG, PNG, DEPTH_PNG, coded(LABELS, "PNG"), coded(RGB, "WEBP")], ids=range(5))
def test_torn_images_are_refused(read, data):
    for length in {*range(0, min(64, len(data))), *range(64, len(data), 97), len(data) - 13}:
        with pytest.raises(ValueError, match=r"expected .*, got"):
            read(message("png", data[:length]))


def test_a_jpeg_may_be_followed_by_a_buffer_s_rest_but_not_lack_its_end():
    whole = color_to_array(message("jpeg", JPEG))
    np.testing.assert_array_equal(color_to_array(message("jpeg", JPEG + bytes(500))), whole)
    with pytest.raises(ValueError, match=f"expected a whole JPEG, got {len(JPEG) - 2} bytes without its end"):
        color_to_array(message("jpeg", JPEG[:-2]))


def test_a_marker_may_be_filled_up():
    filled = color_to_array(message("jpeg", JPEG[:2] + b"\xff\xff" + JPEG[2:]))
    np.testing.assert_array_equal(filled, color_to_array(message("jpeg", JPEG)))


def test_what_opencv_throws_becomes_words(monkeypatch):
    monkeypatch.setattr(codecs.cv2, "imdecode", codecs.cv2.cvtColor)  # throws: 1 is no conversion of these
    with pytest.raises(ValueError, match="expected a whole JPEG, got one that cannot be decoded: "):
        color_to_array(message("jpeg", JPEG))


def jpeg_of_size(width, height):
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", height, width) + JPEG[at + 4 :]


def webp_of_size(kind, body):
    return b"RIFF\x40\0\0\0WEBP" + kind + b"\x20\0\0\0" + body + bytes(32)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (png(100000, 100000, 8, 2), "100000x100000"),
        (png(2**31 - 1, 1, 8, 2), "2147483647x1"),
        (png(8000, 8001, 8, 2), "8000x8001"),
        (jpeg_of_size(65535, 65000), "65535x65000"),
        (webp_of_size(b"VP8 ", b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", 16383, 16000)), "16383x16000"),
        (webp_of_size(b"VP8L", b"\x2f" + struct.pack("<I", 16383 | 15999 << 14)), "16384x16000"),
        (
            webp_of_size(b"VP8X", b"\0" * 4 + (2**24 - 1).to_bytes(3, "little") + (9).to_bytes(3, "little")),
            "16777216x10",
        ),
        (
            webp_of_size(b"VP8X", b"\0" * 4 + (9).to_bytes(3, "little") + (2**24 - 1).to_bytes(3, "little")),
            "10x16777216",
        ),
    ],
)
def test_what_announces_too_many_pixels_is_not_decoded(monkeypatch, data, size):
    monkeypatch.setattr(codecs.cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    for read in READERS:
        with pytest.raises(ValueError, match=f"at most 64 million pixels, got a .* of {size} pixels"):
            read(message("png", data))


@pytest.mark.parametrize("length", [2**28, 2**31 - 1, 2**32 - 1])
@pytest.mark.parametrize("chunk", [b"IDAT", b"IEND"])
def test_a_chunk_longer_than_the_data_is_not_decoded(monkeypatch, chunk, length):
    """OpenCV 5 would allocate its length first."""
    monkeypatch.setattr(codecs.cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    at = DEPTH_PNG.index(chunk)
    damaged = DEPTH_PNG[: at - 4] + struct.pack(">I", length) + DEPTH_PNG[at:]
    with pytest.raises(ValueError, match=r"expected a whole (PNG|image), got \d+ bytes"):
        depth_to_array(message("png", damaged))


def test_the_head_is_read_as_the_decoder_reads_it():
    """So that the limit is one of what is decoded."""
    sizes = [(1, 1), (37, 53), (1, 700), (700, 1)]
    for height, width in sizes:
        pixels = np.zeros((height, width, 3), np.uint8)
        for codec, options in (("JPEG", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("WEBP", {"quality": 50})):
            head = codecs.inspect(coded(pixels, codec, **options))
            assert (head.height, head.width) == (height, width)
        exif = Image.Exif()  # makes Pillow write WebP's extended form
        exif[0x0112] = 1
        head = codecs.inspect(coded(pixels, "WEBP", exif=exif))
        assert (head.height, head.width) == (height, width)
