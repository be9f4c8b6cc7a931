# SPDX-License-Identifier: Apache-2.0
"""Camera matrices against points that are projected by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from cen_ros.messages.camera_model import intrinsics, resized_fields

K = [500.0, 0.0, 319.5, 0.0, 510.0, 239.5, 0.0, 0.0, 1.0]
P = [480.0, 0.0, 310.0, -12.0, 0.0, 490.0, 250.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def camera_info(**changes):
    """A real message where sensor_msgs is installed, else one of the same fields."""
    roi = {"x_offset": 0, "y_offset": 0, "height": 0, "width": 0, "do_rectify": False}
    fields = {"height": 480, "width": 640, "k": K, "p": P, "binning_x": 0, "binning_y": 0, **changes}
    fields["roi"] = SimpleNamespace(**{**roi, **changes.get("roi", {})})
    return SimpleNamespace(**fields)


def pixel(matrix, point):
    u, v, w = np.reshape(matrix, (3, -1))[:, :3] @ point
    return np.array([u / w, v / w])


def test_a_real_message_gives_p_or_k():
    messages = pytest.importorskip("sensor_msgs.msg", reason="sensor_msgs is not installed: pip install 'cen_ros[ros]'")
    info = messages.CameraInfo(height=480, width=640, k=np.array(K), p=np.array(P))
    got = intrinsics(info, (480, 640))
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, np.reshape(P, (3, 4))[:, :3])
    info.p = np.zeros(12)
    np.testing.assert_allclose(intrinsics(info, (480, 640)), np.reshape(K, (3, 3)))
    assert info.p.tolist() == [0] * 12 and info.k.tolist() == K


@pytest.mark.parametrize("p", [[0.0] * 12, [np.nan] * 12, [np.inf, *P[1:]]])
def test_a_good_k_counts_where_p_is_zero_or_not_finite(p):
    np.testing.assert_allclose(intrinsics(camera_info(p=p), (480, 640)), np.reshape(K, (3, 3)))


@pytest.mark.parametrize("size", [(240, 320), (960, 1280), (360, 480)])
def test_a_message_of_another_size_sends_points_to_the_same_part_of_the_image(size):
    info = camera_info()
    info.roi = type("Roi", (), {"x_offset": 0, "y_offset": 0, "height": 0, "width": 0})()
    fields = resized_fields(info, size)
    assert (fields["height"], fields["width"]) == size
    for point in ((0.3, -0.2, 1.5, 1.0), (-2.0, 1.0, 4.0, 1.0)):
        (u, v, w), (x, y, z) = np.reshape(P, (3, 4)) @ point, np.reshape(fields["p"], (3, 4)) @ point
        np.testing.assert_allclose((np.array([x, y]) / z + 0.5) / size[::-1], (np.array([u, v]) / w + 0.5) / (640, 480))
        there, here = pixel(K, point[:3]), pixel(fields["k"], point[:3])
        np.testing.assert_allclose((here + 0.5) / size[::-1], (there + 0.5) / (640, 480))


def test_a_message_of_the_images_own_size_stays_as_it_is():
    assert resized_fields(camera_info(k=[np.nan] * 9), (480, 640)) == {}
    with pytest.raises(ValueError, match="expected a camera_info of the aspect ratio of the 640x360 pixels"):
        resized_fields(camera_info(), (360, 640))


def test_ros_1_writes_the_matrices_in_capitals():
    info = camera_info()
    info.K, info.P = info.k, info.p
    del info.k, info.p
    np.testing.assert_allclose(intrinsics(info, (480, 640)), np.reshape(P, (3, 4))[:, :3])


@pytest.mark.parametrize("size", [(240, 320), (480, 640), (720, 960), (360, 480)])
@pytest.mark.parametrize("point", [(0, 0, 1), (0.3, -0.2, 1.5), (-2, 1, 4)])
def test_a_point_falls_on_the_same_part_of_an_image_of_another_size(size, point):
    """Pixel i covers i - 0.5 to i + 0.5, so that the share of the image's width left of a point stays."""
    there, here = pixel(P[:3] + P[4:7] + P[8:11], point), pixel(intrinsics(camera_info(), size), point)
    np.testing.assert_allclose((here + 0.5) / size[::-1], (there + 0.5) / (640, 480))


def test_binning_and_a_whole_region_of_interest_change_nothing_but_the_size():
    binned = camera_info(binning_x=2, binning_y=2, roi={"width": 640, "height": 480})
    np.testing.assert_array_equal(intrinsics(binned, (240, 320)), intrinsics(camera_info(), (240, 320)))


def changed(values, at, value):
    return [*values[:at], value, *values[at + 1 :]]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"width": 0}, "got 0x480 pixels"),
        ({"height": 0}, "got 640x0 pixels"),
        ({"k": [0.0] * 9, "p": [0.0] * 12}, "zeros for k and no p; calibrate the camera"),
        ({"k": [0.0] * 9, "p": [float("nan")] * 12}, "zeros for k and no p; calibrate the camera"),
        ({"p": [0.0] * 12, "k": changed(K, 0, float("nan"))}, "expected k of camera_info to be fx 0 cx.*nan"),
        ({"p": changed(P, 6, float("inf")), "k": changed(K, 2, float("inf"))}, "expected k .*inf"),
        ({"p": changed(P, 0, -480.0)}, "fx, fy > 0, got .*-480"),
        ({"p": changed(P, 5, 0.0)}, "fx, fy > 0"),
        ({"p": changed(P, 10, 0.0)}, "0 0 1 with"),
        ({"p": [0.0] * 12, "k": changed(K, 4, -1.0)}, "expected k of camera_info"),
        ({"p": P[:9]}, "expected 12 values in p of camera_info, got 9"),
        ({"k": []}, "expected 9 values in k of camera_info, got 0"),
        ({"height": 360}, "aspect ratio of the 640x480 pixels of the image, got 640x360"),
        ({"roi": {"x_offset": 8, "width": 320, "height": 240}}, r"region of interest of 320x240 pixels at \(8, 0\)"),
    ],
)
def test_absurd_messages_are_refused_in_words(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        intrinsics(camera_info(**changes), (480, 640))


@pytest.mark.parametrize("size", [(0, 0), (0, 640), (480, 0), (480, 480)])
def test_an_image_of_another_aspect_is_refused(size):
    with pytest.raises(ValueError, match="aspect ratio of the"):
        intrinsics(camera_info(), size)
