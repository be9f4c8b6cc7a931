# SPDX-License-Identifier: Apache-2.0
"""Everything that the node publishes, over DDS: types, encodings, sizes, headers, content, and what costs nothing."""

from __future__ import annotations

import csv
import io
import json
import struct
from itertools import count
from queue import Empty

import cv2
import numpy as np
import pytest
import yaml

from helpers.paths import CONFIG

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cen_ros[ros]'")
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header, String

from cen_model.classes import palette
from cen_ros.classes import kimera_csv
from cen_ros.tools.synthetic_camera import camera_info
from helpers.composed import CLASSES, pixels
from helpers.ros_graph import SECONDS
from helpers.segmentation_process import frame, image

IMAGES = ("label", "confidence", "color", "overlay", "mask")
COLORS = np.vstack([palette(len(CLASSES)), np.zeros((256 - len(CLASSES), 3), np.uint8)])


def newest(queue, header):
    """The message with this header; earlier ones are passed over."""
    while (message := queue.get(timeout=SECONDS)).header != header:
        continue
    return message


@pytest.mark.parametrize("size", ["rgb", "depth"])
def test_images_fit_each_other_and_their_source(compose, size):
    parameters = {"mask_classes": ["chair", "wall"], "overlay_alpha": 0.25}
    node = with_camera_info(compose(confidence=True, label_size=size, **parameters))
    infos = node.listen("camera_info", CameraInfo)
    queues = {name: node.listen(name) for name in IMAGES}
    node.ready(queues["label"])
    rgb, depth = frame(1)
    message = image(rgb, "rgb8", 0)
    node.rgb.publish(message)
    node.depth.publish(image(np.ascontiguousarray(depth[::2, ::2]), "16UC1", 0, "depth_frame"))
    seen = {name: newest(queue, message.header) for name, queue in queues.items()}

    step, info = 1 if size == "rgb" else 2, newest(infos, message.header)
    assert (info.height, info.width) == (48 // step, 64 // step)
    np.testing.assert_allclose(info.k[[0, 2, 4]], [50 / step, 32 / step - 0.5, 52 / step])
    rgb = rgb[::step, ::step]
    labels = rgb[..., 0] // 32
    blend = 0.75 * rgb + 0.25 * COLORS[labels]
    assert {name: msg.encoding for name, msg in seen.items()} == {
        **dict.fromkeys(("label", "confidence", "mask"), "mono8"),
        **dict.fromkeys(("color", "overlay"), "rgb8"),
    }
    assert all(msg.step == len(msg.data) // msg.height for msg in seen.values())
    np.testing.assert_array_equal(pixels(seen["label"]), labels)
    np.testing.assert_array_equal(pixels(seen["confidence"]), rgb[..., 1])
    np.testing.assert_array_equal(pixels(seen["color"]), COLORS[labels])
    np.testing.assert_array_equal(pixels(seen["mask"]), np.where((labels == 2) | (labels == 6), 255, 0))
    assert np.abs(pixels(seen["overlay"]) - blend).max() <= 0.5


def test_the_cloud_has_a_point_for_every_pixel_and_the_camera_info_its_stamp(compose):
    node = compose(confidence=True)
    clouds, infos = node.listen("points", PointCloud2), node.listen("camera_info", CameraInfo)
    node.info.wait_for_listeners(1)
    node.rgb.wait_for_listeners(1)
    intrinsics = np.array([[50.0, 0, 31.5], [0, 52.0, 23.5], [0, 0, 1]])
    node.info.publish(camera_info(intrinsics, (48, 64), Header(frame_id="elsewhere")))
    node.ready(infos)
    message = node.send(seed=1, milliseconds=0)
    cloud, info = newest(clouds, message.header), newest(infos, message.header)
    assert (info.height, info.width) == (48, 64) and np.allclose(info.k, intrinsics.ravel())

    (rgb, depth), fields = frame(1), {field.name: field.offset for field in cloud.fields}
    assert (cloud.height, cloud.width) == (48, 64)
    for row, column in [(0, 0), (20, 41), (47, 63)]:
        start = row * cloud.row_step + column * cloud.point_step
        x, y, z, color = (
            struct.unpack_from(kind, cloud.data, start + fields[name])[0]
            for name, kind in (("x", "<f"), ("y", "<f"), ("z", "<f"), ("rgb", "<I"))
        )
        meters = depth[row, column] / 1000 or np.nan
        expected = [(column - 31.5) / 50 * meters, (row - 23.5) / 52 * meters, meters]
        np.testing.assert_allclose([x, y, z], expected, rtol=1e-5, atol=1e-6)
        red, green, blue = map(int, rgb[row, column])
        assert color == (red << 16) + (green << 8) + blue
        assert cloud.data[start + fields["label"]] == red // 32
        assert cloud.data[start + fields["confidence"]] == green


def test_points_without_camera_info_cost_the_points_alone(compose):
    node = compose()
    clouds, labels = node.listen("points", PointCloud2), node.listen("label")
    node.ready(labels)
    message = node.send(seed=2, milliseconds=0)
    newest(labels, message.header)
    numbers = count(1)
    status = node.diagnosis(
        lambda status: status["level"] == 1, meanwhile=lambda: node.send(seed=2, milliseconds=100 * next(numbers))
    )
    assert status["message"].startswith(f"no points and no camera_info: nothing on {node.namespace}/rgb/camera_info: ")
    with_camera_info(node)
    node.ready(clouds)
    assert clouds.empty(), "the first of them is one that had a camera_info"


def test_a_camera_info_that_was_latched_before_the_node_listened_is_heard(compose, graph):
    """As rectifiers and simulators send it: once, kept for those who come later."""
    node = compose()
    graph.run(node.node.trigger_deactivate)
    kept = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    latched = graph.node.create_publisher(CameraInfo, f"{node.namespace}/rgb/camera_info", kept)
    latched.publish(camera_info(INTRINSICS, (48, 64), Header()))
    graph.run(node.node.trigger_activate)
    infos, _ = node.listen("camera_info", CameraInfo), node.ready(node.listen("points", PointCloud2))
    message = node.send(seed=1, milliseconds=0)
    assert np.allclose(newest(infos, message.header).k, INTRINSICS.ravel())


def test_the_network_runs_for_listeners_alone_and_reckons_confidence_for_those_who_want_it(compose):
    node = compose(confidence=True, diagnostics_period=0.1)
    for publisher in (node.rgb, node.depth):
        publisher.wait_for_listeners(1)
    node.send(seed=0, milliseconds=0)
    node.diagnosis(lambda status: status["values"].get("dropped: nobody listens"))
    assert node.network.runs == 0
    assert node.set(run_without_subscribers=True) == []
    node.send(seed=0, milliseconds=1000)
    node.diagnosis(lambda status: node.network.runs == 1)

    node.ready(node.listen("label"))
    assert node.network.runs > 1 and node.network.confidences == 0
    node.ready(node.listen("confidence"))
    assert node.network.confidences > 0


def test_parameters_change_while_frames_flow(compose):
    node = compose(confidence=True)
    labels, masks = node.ready(node.listen("label")), node.listen("mask")
    rgb, depth = frame(3)
    refused = node.set(mask_classes=["chiar"])
    assert refused == ["class 'chiar' is unknown; did you mean chair?"]
    assert "topics.label" in node.set(**{"topics.label": ""})[0]
    assert node.set(min_confidence=0.5, unlabel_missing_depth=True, mask_classes=["book"]) == []
    message = node.send(seed=3, milliseconds=0)
    expected = np.where((depth == 0) | (rgb[..., 1] < 127.5), 255, rgb[..., 0] // 32)
    np.testing.assert_array_equal(pixels(newest(labels, message.header)), expected)
    np.testing.assert_array_equal(pixels(newest(masks, message.header)), np.where(expected == 1, 255, 0))


def test_what_labels_mean_is_there_for_those_who_come_later(compose):
    node = compose()
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    said = json.loads(node.listen("class_map", String, latched).get(timeout=SECONDS).data)
    assert [each["name"] for each in said["classes"]] == list(CLASSES) and said["unlabeled"] == 255


def preset(name):
    """The parameters in a file of config/, as `compose` takes them."""
    values = yaml.safe_load((CONFIG / f"{name}.yaml").read_text())["/**"]["ros__parameters"]
    topics = values.pop("topics")
    return {**values, **{f"topics__{key}": topic for key, topic in topics.items()}}


INTRINSICS = np.array([[50.0, 0, 31.5], [0, 52.0, 23.5], [0, 0, 1]])


def with_camera_info(node):
    """Tell the node its camera's intrinsics."""
    node.info.wait_for_listeners(1)
    node.info.publish(camera_info(INTRINSICS, (48, 64), Header()))
    return node


@pytest.mark.parametrize(
    ("name", "topics"),
    [
        ("nav2", {"/segmentation/mask": "mono8", "/segmentation/confidence": "mono8"}),
        (
            "hydra",
            {"semantic/image_raw": "16SC1", "semantic_color/image_raw": "rgb8", "semantic_overlay/image_raw": "rgb8"},
        ),
        ("nvblox", {"/segmentation/mask": "mono8"}),
    ],
)
def test_presets_publish_images_as_their_readers_expect(compose, graph, name, topics):
    """Type, encoding, size, QoS and stamp; each preset reads its topics with the QoS that its consumer asks for."""
    values = preset(name)
    node = compose(**values)
    best_effort = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    names = {topic: topic if topic.startswith("/") else f"{node.namespace}/{topic}" for topic in topics}
    queues = {topic: graph.listen(Image, name, best_effort) for topic, name in names.items()}
    for queue in queues.values():
        node.ready(queue)
    rgb, depth = frame(4)
    message = image(rgb, "rgb8", 0)
    node.rgb.publish(message)
    node.depth.publish(image(np.ascontiguousarray(depth[::2, ::2]), "16UC1", 0))
    size = (24, 32) if values.get("label_size") == "depth" else (48, 64)
    for topic, encoding in topics.items():
        seen = newest(queues[topic], message.header)
        assert (seen.encoding, seen.height, seen.width) == (encoding, *size)
        bytes_a_pixel = {"mono8": 1, "16SC1": 2, "rgb8": 3}[encoding]
        assert seen.step == seen.width * bytes_a_pixel and len(seen.data) == seen.step * seen.height
        (info,) = graph.node.get_publishers_info_by_topic(names[topic])
        assert info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
        assert info.qos_profile.durability == DurabilityPolicy.VOLATILE


def test_nav2_gets_as_many_points_as_the_mask_has_pixels(compose, graph):
    node = with_camera_info(compose(**preset("nav2")))
    masks = graph.listen(Image, "/segmentation/mask")
    clouds = graph.listen(PointCloud2, "/segmentation/points")
    node.ready(masks)
    rgb, depth = frame(6)
    message = image(rgb, "rgb8", 0)
    node.rgb.publish(message)
    node.depth.publish(image(np.ascontiguousarray(depth[::2, ::2]), "16UC1", 0))
    seen, cloud = newest(masks, message.header), newest(clouds, message.header)
    assert (cloud.height, cloud.width) == (seen.height, seen.width) == (24, 32)
    offset = {field.name: field.offset for field in cloud.fields}["label"]
    np.testing.assert_array_equal(pixels(seen).ravel(), list(cloud.data[offset :: cloud.point_step]))


def test_nvblox_gets_camera_info_with_the_masks_stamp(compose, graph):
    node = with_camera_info(compose(**preset("nvblox")))
    masks = graph.listen(Image, "/segmentation/mask")
    infos = graph.listen(CameraInfo, "/segmentation/camera_info")
    node.ready(masks)
    message = node.send(seed=7, milliseconds=0)
    assert newest(infos, message.header).header == newest(masks, message.header).header
    seen = newest(masks, node.send(seed=8, milliseconds=1000).header)
    np.testing.assert_array_equal(pixels(seen), np.where(frame(8)[0][..., 0] // 32 == 2, 255, 0))


def test_kimera_gets_points_in_the_colors_of_its_table(compose, graph):
    node = with_camera_info(compose(**preset("kimera")))
    clouds = graph.listen(PointCloud2, "/semantic_pointcloud")
    node.ready(clouds)
    cloud = newest(clouds, node.send(seed=9, milliseconds=0).header)
    table = {row["id"]: row for row in csv.DictReader(io.StringIO(kimera_csv(CLASSES)))}
    offset = {field.name: field.offset for field in cloud.fields}["rgb"]
    for number, label in list(enumerate((frame(9)[0][..., 0] // 32).ravel()))[::97]:
        blue, green, red = cloud.data[number * cloud.point_step + offset :][:3]
        row = table[str(label + 1)]
        assert (red, green, blue) == tuple(int(row[name]) for name in ("red", "green", "blue"))


def test_a_listener_to_camera_info_alone_does_not_run_the_network(compose):
    node = with_camera_info(compose(diagnostics_period=0.1))
    infos = node.listen("camera_info", CameraInfo)
    for publisher in (node.rgb, node.depth):
        publisher.wait_for_listeners(1)
    node.send(seed=0, milliseconds=0)
    status = node.diagnosis(lambda status: status["values"].get("dropped: nobody listens"))
    assert status["message"] == "nobody listens" and infos.empty() and node.network.runs == 0


def test_confidence_is_refused_where_there_is_no_engine_for_it(compose):
    node = compose()
    assert node.set(confidence=True) == [], "of use when the node is configured next"
    (reason,) = node.set(min_confidence=0.9)
    assert "configure it anew with confidence: true" in reason


def test_a_topic_that_cannot_be_leaves_nothing_behind(compose, graph):
    node = compose(topics__points="/bad topic")
    assert not list(node.node._managed_entities), "neither timers nor publishers of a failed configuration"
    assert node.set(**{"topics.points": "~/points"}) == []
    graph.run(node.node.autostart)
    labels = node.listen("label")
    node.ready(labels)
    assert graph.node.count_publishers(node.topic("label")) == 1


def test_compressed_images_are_labeled_as_raw_ones(compose):
    """PNG both, so that nothing is lost; depth behind the header that compressedDepth puts before it."""
    node = compose(
        types=(CompressedImage, CompressedImage),
        suffixes=("/compressed", "/compressedDepth"),
        rgb_transport="compressed",
        depth_transport="compressedDepth",
    )
    labels = node.listen("label")
    for publisher in (node.rgb, node.depth):
        publisher.wait_for_listeners(1)
    rgb, depth = frame(5)
    header = image(rgb, "rgb8", 0).header
    color = CompressedImage(header=header, format="rgb8; png compressed bgr8")
    color.data = cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()
    deep = CompressedImage(header=header, format="16UC1; compressedDepth png")
    deep.data = struct.pack("<iff", 0, 0.0, 0.0) + cv2.imencode(".png", depth)[1].tobytes()
    for _ in range(SECONDS):  # until both ends of the labels' topic know each other
        node.rgb.publish(color)
        node.depth.publish(deep)
        try:
            label = labels.get(timeout=1)
        except Empty:
            continue
        break
    assert label.header == header
    np.testing.assert_array_equal(pixels(label), rgb[..., 0] // 32)
