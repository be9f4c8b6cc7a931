# SPDX-License-Identifier: Apache-2.0
"""Image conversion against a reading of the same bytes pixel by pixel, in real sensor_msgs messages."""

from __future__ import annotations

from array import array

import numpy as np
import pytest

from cen_ros.messages.images import (
    COLOR_ENCODINGS,
    DEPTH_ENCODINGS,
    LABEL_ENCODINGS,
    color_to_array,
    depth_to_array,
    image_to_array,
    label_to_array,
)
from helpers.image_messages import (
    DEPTH,
    LABELS,
    MOSAICS,
    PACKED,
    YUV_PAIRS,
    YUV_PLANES,
    plane_reference,
    random_image,
    rgb_reference,
)

messages = pytest.importorskip("sensor_msgs.msg", reason="sensor_msgs is not installed: pip install 'cen_ros[ros]'")
H, W = 6, 8
LAYOUTS = [(padding, bigendian) for padding in (0, 1, 4) for bigendian in (0, 1)]


def image(encoding, height=H, width=W, padding=0, bigendian=0):
    fields = vars(random_image(np.random.default_rng(2), encoding, height, width, padding, bigendian))
    return messages.Image(**{**fields, "data": array("B", fields["data"])})


@pytest.mark.parametrize(("padding", "bigendian"), LAYOUTS)
@pytest.mark.parametrize("encoding", COLOR_ENCODINGS)
def test_every_color_encoding_padding_and_byte_order(encoding, bigendian, padding):
    msg = image(encoding, padding=padding, bigendian=bigendian)
    got, expected = color_to_array(msg), np.array(rgb_reference(msg))
    assert (got.dtype, got.shape) == (np.uint8, (H, W, 3))
    if encoding in PACKED:
        np.testing.assert_array_equal(got, expected)
    elif encoding in MOSAICS:  # OpenCV copies its borders; a mean of integers may be rounded up or down
        np.testing.assert_allclose(got[1:-1, 1:-1], expected[1:-1, 1:-1], rtol=0, atol=1)
    else:
        np.testing.assert_allclose(got, expected, rtol=0, atol=1.5)
    np.testing.assert_array_equal(image_to_array(msg), got)


@pytest.mark.parametrize(("padding", "bigendian"), LAYOUTS)
@pytest.mark.parametrize("encoding", DEPTH_ENCODINGS)
def test_every_depth_encoding_padding_and_byte_order(encoding, bigendian, padding):
    msg = image(encoding, padding=padding, bigendian=bigendian)
    if encoding in ("32FC1", "64FC1"):
        holes = np.array([np.nan, np.inf, -np.inf, -1, 0, 1e300], np.float64)
        with np.errstate(over="ignore"):
            holes = holes.astype(f"{'>' if bigendian else '<'}f{8 if encoding == '64FC1' else 4}").tobytes()
        msg.data[: len(holes)] = array("B", holes)
    got = depth_to_array(msg)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = np.array(plane_reference(msg, DEPTH[encoding])).astype(got.dtype)
    assert got.dtype == (np.uint16 if DEPTH[encoding] == "H" else np.float32) and got.dtype.isnative
    assert got.flags.aligned and not any(stride % got.itemsize for stride in got.strides)  # or PyTorch takes them not
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(image_to_array(msg), got)


@pytest.mark.parametrize(("padding", "bigendian"), LAYOUTS)
@pytest.mark.parametrize("encoding", LABEL_ENCODINGS)
def test_labels_beyond_a_byte_are_unlabeled(encoding, bigendian, padding):
    msg = image(encoding, padding=padding, bigendian=bigendian)
    edges = np.array([0, 1, 127, 254, 255]).astype(np.uint8)
    if LABELS[encoding] != "B":
        order, bits = ">" if bigendian else "<", "2" if LABELS[encoding] in "hH" else "4"
        edges = np.array([0, 1, 254, 255, 256, 300, 32767, -1], f"{order}i{bits}")
    msg.data[: edges.nbytes] = array("B", edges.tobytes())
    got = label_to_array(msg)
    expected = [[v if 0 <= v < 255 else 255 for v in row] for row in plane_reference(msg, LABELS[encoding])]
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, expected)


def test_the_encodings_are_those_of_the_reference():
    assert set(COLOR_ENCODINGS) == {*PACKED, *YUV_PAIRS, *YUV_PLANES, *MOSAICS}
    assert (set(DEPTH_ENCODINGS), set(LABEL_ENCODINGS)) == (set(DEPTH), set(LABELS))


@pytest.mark.parametrize("padding", [0, 4])
@pytest.mark.parametrize(
    ("read", "encoding"),
    [
        *((color_to_array, encoding) for encoding in ("rgb8", "rgba8")),
        *((depth_to_array, encoding) for encoding in ("16UC1", "mono16", "32FC1")),
        *((label_to_array, encoding) for encoding in ("mono8", "8UC1")),
    ],
)
def test_no_copy_where_the_layout_allows(read, encoding, padding):
    msg = image(encoding, 480, 640, padding)
    assert np.shares_memory(read(msg), np.frombuffer(msg.data, np.uint8))


@pytest.mark.parametrize("read", [depth_to_array, label_to_array])
def test_the_last_row_may_lack_its_padding(read):
    msg = image("16UC1", padding=6)
    expected = read(msg).copy()
    msg.data = msg.data[:-6]
    np.testing.assert_array_equal(read(msg), expected)


def test_data_may_start_at_any_byte_of_a_file():
    msg = random_image(np.random.default_rng(2), "16UC1", H, W)
    expected = plane_reference(msg, "H")
    msg.data = np.frombuffer(b"_" + msg.data, np.uint8)[1:]
    got = depth_to_array(msg)
    assert got.flags.aligned
    np.testing.assert_array_equal(got, expected)


def test_messages_of_a_bag_are_read_alike():
    typesys = pytest.importorskip("rosbags.typesys", reason="rosbags is not installed")
    store = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
    time, header = store.types["builtin_interfaces/msg/Time"], store.types["std_msgs/msg/Header"]
    for encoding, read in (("bgr8", color_to_array), ("rgb8", color_to_array), ("32FC1", depth_to_array)):
        msg = image(encoding, padding=3)
        fields = ("height", "width", "encoding", "is_bigendian", "step")
        stored = store.types["sensor_msgs/msg/Image"](
            header(time(1, 2), "camera"), *(getattr(msg, name) for name in fields), np.frombuffer(msg.data, np.uint8)
        )
        raw = store.serialize_cdr(stored, "sensor_msgs/msg/Image")
        np.testing.assert_array_equal(read(store.deserialize_cdr(raw, "sensor_msgs/msg/Image")), read(msg))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"encoding": "yuv411"}, r"expected one of the encodings rgb8, .*, got 'yuv411'"),
        ({"encoding": ""}, "got ''"),
        ({"encoding": "16UC1"}, r"expected one of the encodings rgb8, [^;]*, got '16UC1'$"),
        ({"width": 0}, "expected at least 1x1 pixels for rgb8, got 0x6 pixels"),
        ({"height": 0}, "got 8x0 pixels"),
        ({"step": 23}, r"step of at least 24 bytes \(8 pixels rgb8\), got 23"),
        ({"width": 2**32 - 1}, r"step of at least 12884901885 bytes \(4294967295 pixels rgb8\), got 24"),
        ({"height": 2**32 - 1}, r"expected 103079215080 bytes of data \(4294967295 rows, step 24\), got 144"),
        ({"step": 2**32 - 1}, r"bytes of data \(6 rows, step 4294967295\), got 144"),
        ({"data": array("B", bytes(143))}, r"expected 144 bytes of data \(6 rows, step 24\), got 143"),
        ({"data": array("B")}, "expected 144 bytes .*, got 0"),
        ({"encoding": "rgba8"}, "step of at least 32"),
        ({"encoding": "yuv422", "width": 7}, "expected an even width for yuv422, got 7x6 pixels"),
        ({"encoding": "nv12", "height": 5}, "expected an even width and height for nv12, got 8x5 pixels"),
        ({"encoding": "nv21", "height": 4, "data": array("B", bytes(6 * 24 - 17))}, r"\(6 rows, step 24\), got 127"),
        ({"encoding": "bayer_rggb8", "width": 2}, "expected at least 3x3 pixels for bayer_rggb8, got 2x6"),
    ],
)
def test_malformed_messages_are_refused_in_words(change, complaint):
    msg = image("rgb8")
    for name, value in change.items():
        setattr(msg, name, value)
    with pytest.raises(ValueError, match=complaint):
        color_to_array(msg)


@pytest.mark.parametrize(("read", "encoding"), [(depth_to_array, "rgb8"), (label_to_array, "32FC1")])
def test_another_kind_of_image_is_refused(read, encoding):
    with pytest.raises(ValueError, match=rf"^expected one of the encodings \w+, [^;]*, got '{encoding}'$"):
        read(image(encoding))
