# SPDX-License-Identifier: Apache-2.0
"""Point clouds read back byte by byte, and by sensor_msgs_py where that is installed."""

from __future__ import annotations

import math
import struct
import sys
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("sensor_msgs.msg", reason="sensor_msgs is not installed: pip install 'cen_ros[ros]'")
from sensor_msgs.msg import PointField
from std_msgs.msg import Header

from cen_ros.messages import cloud as cloud_module
from cen_ros.messages.cloud import CloudMaker

H, W = 5, 8
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (H, W, 3), dtype=np.uint8)
RGB[0, 0] = 255  # with an alpha of 255 this would be a NaN
LABELS = RNG.integers(0, 13, (H, W), dtype=np.uint8)
CONFIDENCE = RNG.integers(0, 256, (H, W), dtype=np.uint8)
INTRINSICS = np.array([[500.0, 0, 3.3], [0, 400.0, 1.7], [0, 0, 1]])
MILLIMETERS = RNG.integers(300, 9000, (H, W)).astype(np.uint16)
MILLIMETERS[1, 2] = 0
METERS = MILLIMETERS.astype(np.float32) / 1000
METERS[2, 3:7] = [np.nan, np.inf, -1, -np.inf]
FORMATS = {PointField.FLOAT32: "f", PointField.UINT32: "I", PointField.UINT8: "B"}


@pytest.fixture(params=["by hand", "sensor_msgs_py"])
def maker(request, monkeypatch):
    """A maker that goes one of the two ways to a message."""
    if request.param == "by hand":
        monkeypatch.setattr(cloud_module, "_create_cloud", lambda: None)
    else:
        pytest.importorskip(
            "sensor_msgs_py", reason="sensor_msgs_py is not installed: it comes with a ROS distribution"
        )
        assert cloud_module._create_cloud()
    return CloudMaker()


def make(maker, depth=MILLIMETERS, rgb=RGB, labels=LABELS, confidence=CONFIDENCE, intrinsics=INTRINSICS):
    header = Header(frame_id="optical")
    header.stamp.sec = 7
    return maker.cloud(depth, rgb, labels, confidence, intrinsics, header)


def point(msg, v, u):
    """The values of the point of row v, column u by name, as the fields of the message describe them."""
    at = v * msg.row_step + u * msg.point_step
    order = ">" if msg.is_bigendian else "<"
    return {f.name: struct.unpack_from(order + FORMATS[f.datatype], msg.data, at + f.offset)[0] for f in msg.fields}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("depth", [MILLIMETERS, METERS], ids=["uint16", "float32"])
def test_every_point_is_where_its_pixel_was(maker, depth):
    msg = make(maker, depth)
    assert (msg.height, msg.width, msg.is_dense) == (H, W, False)
    assert msg.point_step % 4 == 0
    assert msg.row_step == W * msg.point_step
    assert len(msg.data) == H * msg.row_step
    assert (msg.header.frame_id, msg.header.stamp.sec) == ("optical", 7)
    assert [field.name for field in msg.fields] == ["x", "y", "z", "rgb", "label", "confidence"]
    for v, u in np.ndindex(H, W):
        got = point(msg, v, u)
        z = float(depth[v, u]) / (1000 if depth.dtype == np.uint16 else 1)
        if math.isfinite(z) and z > 0:
            expected = ((u - 3.3) / 500 * z, (v - 1.7) / 400 * z, z)
            assert (got["x"], got["y"], got["z"]) == pytest.approx(expected, rel=1e-6, abs=1e-7)
        else:
            assert all(math.isnan(got[axis]) for axis in "xyz")
        r, g, b = RGB[v, u].tolist()
        assert struct.unpack("<I", struct.pack("<f", got["rgb"]))[0] == r << 16 | g << 8 | b
        assert (got["label"], got["confidence"]) == (LABELS[v, u], CONFIDENCE[v, u])


def test_without_confidence_every_point_is_certain(maker):
    msg = make(maker, confidence=None)
    assert {point(msg, v, u)["confidence"] for v, u in np.ndindex(H, W)} == {255}


@pytest.mark.parametrize("checked", ["", "1"])
def test_a_message_keeps_its_values_when_the_next_is_made_and_a_new_camera_is_noticed(maker, checked, monkeypatch):
    # What ROS_PYTHON_CHECK_FIELDS sets; on Humble fields are always checked. Only unchecked ones are copied.
    monkeypatch.setattr("sensor_msgs.msg._point_cloud2.ros_python_check_fields", checked, raising=False)
    first = make(maker)
    bytes_before = bytes(first.data)
    assert bytes(make(maker, MILLIMETERS // 2).data) != bytes_before
    nearer = make(maker, MILLIMETERS // 2, 255 - RGB, intrinsics=INTRINSICS + 1)
    assert bytes(first.data) == bytes_before
    assert bytes(nearer.data) == bytes(make(CloudMaker(), MILLIMETERS // 2, 255 - RGB, intrinsics=INTRINSICS + 1).data)
    smaller = make(maker, MILLIMETERS[:3, :4], RGB[:3, :4], LABELS[:3, :4], CONFIDENCE[:3, :4])
    assert (smaller.height, smaller.width, len(smaller.data)) == (3, 4, 12 * smaller.point_step)
    assert point(smaller, 2, 3) == point(first, 2, 3)


def test_what_has_another_size_than_depth_is_taken_at_the_nearest_pixel(maker):
    def twice(image):
        large = image.repeat(2, 0).repeat(2, 1)
        large[1::2] ^= 1  # what blending would mix in
        return large

    msg = make(maker, rgb=twice(RGB), labels=twice(LABELS), confidence=twice(CONFIDENCE))
    assert bytes(msg.data) == bytes(make(maker).data)


def test_both_ways_make_the_same_message_and_its_reader_agrees(monkeypatch):
    reader = pytest.importorskip(
        "sensor_msgs_py.point_cloud2", reason="sensor_msgs_py is not installed: it comes with a ROS distribution"
    )
    theirs = make(CloudMaker(), METERS)
    monkeypatch.setattr(cloud_module, "_create_cloud", lambda: None)
    ours = make(CloudMaker(), METERS)
    assert ours == theirs
    points = reader.read_points(ours)
    np.testing.assert_array_equal(points["label"].reshape(H, W), LABELS)
    np.testing.assert_array_equal(np.isnan(points["z"].reshape(H, W)), ~(np.isfinite(METERS) & (METERS > 0)))


def test_a_create_cloud_that_cannot_pad_points_is_passed_over(monkeypatch):
    """Humble's."""
    package, module = ModuleType("sensor_msgs_py"), ModuleType("sensor_msgs_py.point_cloud2")
    module.create_cloud = lambda header, fields, points: pytest.fail("called")
    monkeypatch.setitem(sys.modules, "sensor_msgs_py", package)
    monkeypatch.setitem(sys.modules, "sensor_msgs_py.point_cloud2", module)
    assert cloud_module._create_cloud.__wrapped__() is None
