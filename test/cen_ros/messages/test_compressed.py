# SPDX-License-Identifier: Apache-2.0
"""Compressed images: written by Pillow or byte by byte, read through OpenCV."""

from __future__ import annotations

import struct
from array import array

import numpy as np
import pytest

from cen_ros.messages.images import color_to_array, depth_to_array, label_to_array, rgbd_arrays
from helpers.coded_images import LABELS, MM, RGB, H, Image, W, coded, png, png_rows, tag
from helpers.image_messages import random_image, rgb_reference

messages = pytest.importorskip("sensor_msgs.msg", reason="sensor_msgs is not installed: pip install 'cen_ros[ros]'")


def message(format_, data):
    return messages.CompressedImage(format=format_, data=array("B", data))


JPEG, PNG = coded(RGB, "JPEG", quality=95), coded(RGB, "PNG")
DEPTH_PNG = png(W, H, 16, 0, png_rows(MM))


@pytest.mark.parametrize(
    ("format_", "data"),
    [
        *((name, JPEG) for name in ("jpeg", "jpg", "", "rgb8; jpeg compressed bgr8", "bgr8; jpeg compressed bgr8")),
        ("jpeg", coded(RGB, "JPEG", quality=95, progressive=True)),
        *((name, PNG) for name in ("png", "rgb8; png compressed bgr8", "bgra8; png compressed bgr8")),
        ("png", coded(np.dstack([RGB, RGB[..., :1]]), "PNG")),
        ("png", png(W, H, 16, 2, png_rows(RGB.astype(np.uint16) * 256 + 255))),
        ("webp", coded(RGB, "WEBP", lossless=True)),
        ("webp", coded(np.dstack([RGB, RGB[..., :1] | 1]), "WEBP", lossless=True, exact=True)),
        ("webp", coded(RGB, "WEBP", quality=100)),
    ],
)
def test_color(format_, data):
    got = color_to_array(message(format_, data))
    lossy = data.startswith(b"\xff\xd8") or b"VP8 " in data
    assert got.dtype == np.uint8 and got.shape == (H, W, 3)
    np.testing.assert_allclose(got.astype(int), RGB, rtol=0, atol=12 if lossy else 0)


@pytest.mark.parametrize("codec", ["JPEG", "PNG", "WEBP"])
def test_a_gray_image_is_color_too(codec):
    got = color_to_array(message("mono8; jpeg compressed mono8", coded(RGB[..., 0], codec, quality=95)))
    np.testing.assert_allclose(got.astype(int), np.repeat(RGB[..., :1], 3, axis=2), rtol=0, atol=3)


def test_red_and_blue_are_exchanged_where_image_transport_exchanges_them():
    got = color_to_array(message("bgr8; png compressed rgb8", coded(RGB[..., ::-1], "PNG")))
    np.testing.assert_array_equal(got, RGB)


def test_a_compressed_mosaic_is_still_a_mosaic():
    msg = random_image(np.random.default_rng(5), "bayer_grbg8", H, W)
    mosaic = np.frombuffer(msg.data, np.uint8).reshape(H, W)
    got = color_to_array(message("bayer_grbg8; png compressed ", coded(mosaic, "PNG")))
    np.testing.assert_allclose(got[1:-1, 1:-1], np.array(rgb_reference(msg))[1:-1, 1:-1], rtol=0, atol=1)


def test_a_rotation_noted_by_the_camera_is_not_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by 90 degrees
    assert color_to_array(message("jpeg", coded(RGB, "JPEG", exif=exif))).shape == (H, W, 3)


@pytest.mark.parametrize(
    ("format_", "data"),
    [
        *((name, DEPTH_PNG) for name in ("png", "", "16UC1; png compressed ", "mono16; png compressed ")),
        # the header of 16-bit depth is not initialized by its publisher
        *((f"16UC1{tail}", b"\xff" * 12 + DEPTH_PNG) for tail in ("; compressedDepth png", "; compressedDepth", "")),
        ("png", b"\0" * 12 + DEPTH_PNG),
        ("png", png(W, H, 16, 0, png_rows(MM), tag(b"tRNS", b"\0\0"))),  # a gray that is to be transparent
    ],
)
def test_depth_in_millimeters(format_, data):
    got = depth_to_array(message(format_, data))
    assert got.dtype == np.uint16
    np.testing.assert_array_equal(got, MM)


@pytest.mark.parametrize("format_", ["32FC1; compressedDepth png", "32FC1; compressedDepth", "32FC1"])
def test_depth_in_meters_is_what_the_publisher_quantized(format_):
    depth = np.random.default_rng(6).uniform(0.5, 9.9, (H, W)).astype(np.float32)
    depth[0, :4] = np.nan, np.inf, 10.0, 0.2
    quantization, largest = 100.0, 10.0  # image_transport's defaults
    a = quantization * (quantization + 1)
    b = 1 - a / largest
    values = np.array([[int(a / z + b) if z < largest else 0 for z in row] for row in depth.tolist()], np.uint16)
    data = struct.pack("<iff", 0, a, b) + png(W, H, 16, 0, png_rows(values))
    got = depth_to_array(message(format_, data))
    assert got.dtype == np.float32
    expected = [[a / (v - b) if v else np.nan for v in row] for row in values.tolist()]
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(got[0, :4]), [True, True, True, False])
    np.testing.assert_allclose(got[1:], depth[1:], rtol=0, atol=largest**2 / a)  # a step of inverse depth


def test_labels_of_8_and_16_bit():
    np.testing.assert_array_equal(label_to_array(message("mono8; png compressed ", coded(LABELS, "PNG"))), LABELS)
    expected = [[value if value < 255 else 255 for value in row] for row in (MM % 512).tolist()]
    got = label_to_array(message("16UC1; png compressed ", png(W, H, 16, 0, png_rows(MM % 512))))
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, expected)


PALETTE = coded(Image.fromarray(RGB).quantize(8), "PNG")


@pytest.mark.parametrize(
    ("read", "format_", "data", "complaint"),
    [
        (color_to_array, "png", DEPTH_PNG, r"got a PNG of 16-bit gray \('png'\), which looks like depth"),
        (
            color_to_array,
            "16UC1; compressedDepth png",
            b"\0" * 12 + DEPTH_PNG,
            "'16UC1; compressedDepth png', which is",
        ),
        (
            color_to_array,
            "h264",
            b"\0\0\0\1\x67abcdefgh",
            r"expected a JPEG, PNG or WebP image, got 13 bytes .* part of a video \(H.264, H.265\), which is not",
        ),
        (depth_to_array, "16UC1; tiff compressed ", b"II*\0" + bytes(9), "49 49 2a 00 .*, a TIFF, which is not read"),
        (color_to_array, "bayer_rggb8; png compressed ", png(2, 9, 8, 0, bytes(27)), "at least 3x3 pixels"),
        (
            depth_to_array,
            "jpeg",
            JPEG,
            "a PNG of 16-bit gray, got a JPEG of 8-bit color .* may alter depth and labels",
        ),
        (depth_to_array, "png", PNG, "a PNG of 16-bit gray, got a PNG of 8-bit color"),
        (depth_to_array, "png", png(W, H, 16, 2, png_rows(RGB.astype(np.uint16))), "got a PNG of 16-bit color"),
        (depth_to_array, "png", coded(LABELS, "PNG"), "a PNG of 16-bit gray, got a PNG of 8-bit gray"),
        (depth_to_array, "16UC1; compressedDepth rvl", b"\0" * 40, "at most 64 million pixels, got 0x0"),
        (depth_to_array, "32FC1; png compressed ", DEPTH_PNG, "expected compressedDepth's header, .*, got none"),
        (depth_to_array, "32FC1", struct.pack("<iff", 0, np.nan, 1) + DEPTH_PNG, "got a=nan, b=1.0"),
        (depth_to_array, "32FC1", struct.pack("<iff", 0, 0, 1) + DEPTH_PNG, "got a=0.0, b=1.0"),
        (depth_to_array, "32FC1", struct.pack("<iff", 0, 1, np.inf) + DEPTH_PNG, "got a=1.0, b=inf"),
        (label_to_array, "jpeg", coded(LABELS, "JPEG"), "got a JPEG of 8-bit gray .* may alter depth and labels"),
        (label_to_array, "png", PALETTE, "8- or 16-bit gray, got a PNG of 4-bit color"),
        (label_to_array, "png", PNG, "8- or 16-bit gray, got a PNG of 8-bit color"),
        (label_to_array, "png", png(0, 5, 8, 0), "expected an image, got 0x5 pixels"),
        (label_to_array, "png", png(5, 0, 8, 0), "expected an image, got 5x0 pixels"),
        (label_to_array, "png", png(8, 1, 1, 0, b"\0\x55"), "8- or 16-bit gray, got a PNG of 1-bit gray"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(read, format_, data, complaint):
    with pytest.raises(ValueError, match=complaint):
        read(message(format_, data))


def test_errors_name_the_topic():
    with pytest.raises(
        ValueError, match=r"^/c: expected a color image; expected a JPEG, PNG or WebP image, got 0 bytes"
    ):
        rgbd_arrays(message("jpeg", b""), message("png", DEPTH_PNG), ("/c", "/d"))
    with pytest.raises(ValueError, match=r"^/d: expected a depth image; expected a PNG of 16-bit"):
        rgbd_arrays(message("jpeg", JPEG), message("jpeg", JPEG), ("/c", "/d"))
    rgb, depth = rgbd_arrays(message("jpeg", JPEG), message("png", png(W // 2, H // 2, 16, 0, png_rows(MM[::2, ::2]))))
    assert rgb.shape == (H, W, 3)
    np.testing.assert_array_equal(depth, np.kron(MM[::2, ::2], np.ones((2, 2), np.uint16)))
