# SPDX-License-Identifier: Apache-2.0
"""Pairs of images as the network takes them, and arrays as messages."""

from __future__ import annotations

from array import array

import numpy as np
import pytest

from cen_ros.messages.images import array_to_image, rgbd_arrays
from helpers.image_messages import random_image

messages = pytest.importorskip("sensor_msgs.msg", reason="sensor_msgs is not installed: pip install 'cen_ros[ros]'")
H, W = 6, 8
RGB = np.random.default_rng(0).integers(0, 256, (H, W, 3)).astype(np.uint8)
MM = np.random.default_rng(1).integers(0, 65536, (H, W)).astype(np.uint16)


def of_pixels(pixels, encoding):
    return array_to_image(pixels, encoding, messages.Image().header, messages.Image)


def test_depth_of_another_resolution_is_resized_without_blending():
    depth = np.array([[1000, 2000], [0, 4000]], np.uint16)
    rgb, resized = rgbd_arrays(of_pixels(RGB[:4, :4], "rgb8"), of_pixels(depth, "16UC1"))
    np.testing.assert_array_equal(rgb, RGB[:4, :4])
    np.testing.assert_array_equal(resized, np.kron(depth, np.ones((2, 2), np.uint16)))


def test_a_pair_that_does_not_fit_is_refused_by_name():
    good = of_pixels(RGB, "rgb8"), of_pixels(MM, "16UC1")
    np.testing.assert_array_equal(rgbd_arrays(*good)[1], MM)
    with pytest.raises(ValueError, match=r"^/c: expected a color image; .* rgb8, .*, got '16UC1'"):
        rgbd_arrays(*reversed(good), names=("/c", "/d"))
    with pytest.raises(ValueError, match=r"^/d: expected a depth image; .* 16UC1, .*, got 'mono8'"):
        rgbd_arrays(good[0], of_pixels(RGB[..., 0], "mono8"), names=("/c", "/d"))
    with pytest.raises(ValueError, match=r"^/d: .* 8x6 pixels of /c .*, got 8x4"):
        rgbd_arrays(good[0], of_pixels(MM[:4], "16UC1"), names=("/c", "/d"))


@pytest.mark.parametrize("encoding", ["rgb8", "mono8", "16SC1", "16UC1", "32FC1", "nv12"])
def test_an_array_becomes_a_message_without_padding(encoding):
    fields = vars(random_image(np.random.default_rng(2), encoding, H, W))
    msg = messages.Image(**{**fields, "data": array("B", fields["data"])})
    dtype = {"16SC1": np.int16, "16UC1": np.uint16, "32FC1": np.float32}.get(encoding, np.uint8)
    pixels = np.frombuffer(msg.data, dtype).reshape((-1, W, 3) if encoding == "rgb8" else (-1, W))
    msg.header.frame_id, msg.header.stamp.nanosec = "camera", 7
    assert array_to_image(pixels[::-1].copy()[::-1], encoding, msg.header, messages.Image) == msg


@pytest.mark.parametrize(
    ("pixels", "encoding"), [(MM, "mono8"), (RGB, "mono8"), (RGB, "rgba8"), (MM, "32FC1"), (RGB[0, 0], "mono8")]
)
def test_an_array_of_another_type_or_shape_is_refused(pixels, encoding):
    with pytest.raises(ValueError, match=f"for {encoding}, got {pixels.dtype}"):
        of_pixels(pixels, encoding)
