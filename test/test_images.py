# SPDX-License-Identifier: Apache-2.0
"""Image conversion against bytes laid out by hand, in real sensor_msgs messages."""

from __future__ import annotations

from array import array

import numpy as np
import pytest

from cen_ros.images import COLOR_ENCODINGS, DEPTH_ENCODINGS, array_to_image, image_to_array, rgbd_arrays

messages = pytest.importorskip("sensor_msgs.msg", reason="sensor_msgs is not installed: pip install 'cen_ros[ros]'")
H, W = 5, 7
RGB = np.random.default_rng(0).integers(0, 256, (H, W, 3)).astype(np.uint8)
MM = np.random.default_rng(1).integers(0, 65536, (H, W)).astype(np.uint16)
METRES = np.where(MM < 9000, np.nan, MM / 1000).astype(np.float32)
ALPHA = np.full((H, W, 1), 9, np.uint8)

# what lies in memory for each encoding, and what is to come out
PIXELS = {
    "rgb8": (RGB, RGB),
    "bgr8": (RGB[..., ::-1], RGB),
    "rgba8": (np.concatenate([RGB, ALPHA], 2), RGB),
    "bgra8": (np.concatenate([RGB[..., ::-1], ALPHA], 2), RGB),
    "mono8": (RGB[..., 0], np.repeat(RGB[..., :1], 3, axis=2)),
    "16UC1": (MM, MM),
    "mono16": (MM, MM),
    "32FC1": (METRES, METRES),
}


def image(encoding, pixels=None, padding=0, bigendian=False):
    """A message made row by row; `padding` bytes of rubbish end every row."""
    pixels = PIXELS[encoding][0] if pixels is None else pixels
    rows = pixels.astype(pixels.dtype.newbyteorder(">" if bigendian else "<"))
    msg = messages.Image(height=len(rows), width=rows.shape[1], encoding=encoding, is_bigendian=int(bigendian))
    msg.data = array("B", b"".join(row.tobytes() + b"\xaa" * padding for row in rows))
    msg.step = len(msg.data) // len(rows)
    return msg


@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("bigendian", [False, True])
@pytest.mark.parametrize("encoding", PIXELS)
def test_every_encoding_padding_and_byte_order(encoding, bigendian, padding):
    got, expected = image_to_array(image(encoding, None, padding, bigendian)), PIXELS[encoding][1]
    assert got.dtype == expected.dtype and got.dtype.isnative
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("padding", [0, 4])
@pytest.mark.parametrize("encoding", ["rgb8", "rgba8", "16UC1", "mono16", "32FC1"])
def test_no_copy_where_the_layout_allows(encoding, padding):
    msg = image(encoding, padding=padding)
    assert np.shares_memory(image_to_array(msg), np.frombuffer(msg.data, np.uint8))


def test_the_last_row_may_lack_its_padding():
    msg = image("16UC1", padding=6)
    msg.data = msg.data[:-6]
    np.testing.assert_array_equal(image_to_array(msg), MM)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"encoding": "yuv422"}, r"expected one of the encodings rgb8, .*, got 'yuv422'"),
        ({"encoding": ""}, "got ''"),
        ({"width": 0}, "got 0x5 pixels"),
        ({"height": 0}, "got 7x0 pixels"),
        ({"step": 20}, r"step of at least 21 bytes \(7 pixels rgb8\), got 20"),
        ({"data": array("B", bytes(104))}, r"expected 105 bytes of data \(5 rows, step 21\), got 104"),
        ({"data": array("B")}, "expected 105 bytes .*, got 0"),
        ({"encoding": "rgba8"}, "step of at least 28"),
    ],
)
def test_malformed_messages_are_refused_in_words(change, complaint):
    msg = image("rgb8")
    for name, value in change.items():
        setattr(msg, name, value)
    with pytest.raises(ValueError, match=complaint):
        image_to_array(msg)


def test_depth_of_another_resolution_is_resized_without_blending():
    depth = np.array([[1000, 2000], [0, 4000]], np.uint16)
    rgb, resized = rgbd_arrays(image("rgb8", RGB[:4, :4]), image("16UC1", depth))
    np.testing.assert_array_equal(rgb, RGB[:4, :4])
    np.testing.assert_array_equal(resized, np.kron(depth, np.ones((2, 2), np.uint16)))


def test_a_pair_that_does_not_fit_is_refused_by_name():
    good = image("rgb8"), image("16UC1")
    np.testing.assert_array_equal(rgbd_arrays(*good)[1], MM)
    with pytest.raises(ValueError, match=r"^/c: expected a colour image \(rgb8, .*\), got '16UC1'"):
        rgbd_arrays(*reversed(good), names=("/c", "/d"))
    with pytest.raises(ValueError, match=r"^/d: expected a depth image \(16UC1, .*\), got 'mono8'"):
        rgbd_arrays(good[0], image("mono8"), names=("/c", "/d"))
    with pytest.raises(ValueError, match=r"^/d: .* 7x5 pixels of /c .*, got 7x4"):
        rgbd_arrays(good[0], image("16UC1", MM[:4]), names=("/c", "/d"))


@pytest.mark.parametrize("encoding", PIXELS)
def test_an_array_becomes_a_message_without_padding(encoding):
    pixels, expected = PIXELS[encoding]
    header = messages.Image().header
    header.frame_id, header.stamp.nanosec = "camera", 7
    msg = array_to_image(pixels[::-1][::-1], encoding, header, messages.Image)
    assert (msg.header, msg.height, msg.width, msg.encoding) == (header, H, W, encoding)
    assert msg.step == W * pixels.dtype.itemsize * (1 if pixels.ndim == 2 else pixels.shape[2])
    assert bytes(msg.data) == pixels.tobytes()
    np.testing.assert_array_equal(image_to_array(msg), expected)


@pytest.mark.parametrize(
    ("pixels", "encoding"), [(MM, "mono8"), (RGB, "mono8"), (RGB, "rgba8"), (MM, "32FC1"), (RGB[0, 0], "mono8")]
)
def test_an_array_of_another_type_or_shape_is_refused(pixels, encoding):
    with pytest.raises(ValueError, match=f"for {encoding}, got {pixels.dtype}"):
        array_to_image(pixels, encoding, messages.Image().header, messages.Image)


def test_every_encoding_is_colour_or_depth():
    assert set(COLOR_ENCODINGS) | set(DEPTH_ENCODINGS) == set(PIXELS)
