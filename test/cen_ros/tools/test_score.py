# SPDX-License-Identifier: Apache-2.0
"""The scorer: its arithmetic and pairing, and its node over DDS (cen_ros.tools.score)."""

from __future__ import annotations

import json
import sys
import threading

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cen_ros[ros]'")
from rclpy.event_handler import PublisherEventCallbacks
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from cen_model.evaluation.metrics import confusion_matrix
from cen_ros.classes import class_map
from cen_ros.messages.images import array_to_image
from cen_ros.tools.camera_frames import DEPTH_TOPIC, RGB_TOPIC, TRUTH_TOPIC
from cen_ros.tools.score import CLASSES_TOPIC, LABEL_TOPIC, LATCHED, PENDING, Score, in_words
from cen_ros.tools.synthetic_camera import RELIABLE
from helpers.ros_graph import SECONDS, Process

KINDS = ("rgb", "depth", "truth", "label")
CLASSES = ("a", "b", "c", "d", "e")


def slow_iou(truth: np.ndarray, label: np.ndarray, c: int) -> float | None:
    """IoU of class c from sets of pixels; None where the class does not occur."""
    pixels = list(np.ndindex(truth.shape))
    true = {p for p in pixels if truth[p] == c}
    said = {p for p in pixels if label[p] == c and truth[p] != 255}
    return len(true & said) / len(true | said) if true | said else None


def test_frames_are_paired_by_exact_stamp_in_any_order():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 4, (3, 8, 9), dtype=np.uint8)
    label = rng.integers(0, 4, (3, 8, 9), dtype=np.uint8)
    score = Score(KINDS, CLASSES)
    stamps = [1_000_000_000, 1_000_000_001, 1_100_000_000]
    for i in (2, 0, 1):
        score.add("label", stamps[i], stamps[i] + (i + 1) * 10_000_000, label[i])
    for i in (1, 2, 0):
        for kind in ("rgb", "depth", "truth"):
            score.add(kind, stamps[i], stamps[i], truth[i])
    score.add("label", stamps[0], stamps[0] + 500_000_000, truth[0])  # a second one is not counted
    result = score.result()
    together = confusion_matrix(truth.reshape(24, 9), label.reshape(24, 9), len(CLASSES))
    np.testing.assert_array_equal(score.confusion, together)
    assert result["iou"]["e"] is None
    assert result["miou"] == pytest.approx(np.mean([slow_iou(truth, label, c) for c in range(4)]))
    assert result["latency_ms"] == pytest.approx({"median": 20.0, "p95": 29.0})
    assert (result["sent"], result["received"], result["labeled"], result["strays"]) == (3, 3, 3, 0)


def test_losses_and_wrong_stamps_are_counted():
    score = Score(KINDS, CLASSES)
    image = np.zeros((2, 2), np.uint8)
    for stamp in range(5):
        score.add("truth", stamp, stamp, image)
        if stamp != 3:
            score.add("rgb", stamp, stamp, image)
        if stamp != 4:
            score.add("depth", stamp, stamp, image)
    for stamp in (0, 1, 99):
        score.add("label", stamp, stamp, image)
    result = score.result()
    assert (result["sent"], result["received"], result["labeled"], result["strays"]) == (5, 3, 2, 1)
    assert score.whole == 2


def test_a_result_without_labels_has_no_numbers():
    result = Score(KINDS, CLASSES).result()
    assert result["miou"] is None
    assert result["latency_ms"] == {"median": None, "p95": None}


def test_of_a_bag_latency_counts_from_the_image_and_depth_may_be_missing():
    score = Score(("rgb", "truth", "label"), CLASSES, latency_since="image")
    image = np.zeros((2, 2), np.uint8)
    for stamp in range(4):  # of long ago
        arrival = 10**15 + stamp * 10**8
        score.add("truth", stamp, arrival, image)
        score.add("rgb", stamp, arrival, image)
        if stamp != 2:
            score.add("label", stamp, arrival + (stamp + 1) * 10**6, image)
    result = score.result()
    assert result["latency_ms"] == pytest.approx({"median": 2.0, "p95": 3.8})
    assert (result["sent"], result["received"], result["labeled"], score.whole) == (4, 4, 3, 3)
    assert in_words(result) == "mIoU 1.000, 3 of 4 frames labeled, latency 2 ms median, 4 ms p95"
    assert in_words(Score(("rgb", "label"), CLASSES).result()) == "0 of 0 frames labeled, no labels"


def test_frames_that_never_get_labels_are_let_go():
    score = Score(("rgb", "depth", "label"), CLASSES)
    for stamp in range(3 * PENDING):
        score.add("rgb", stamp, stamp, np.zeros((1, 1, 3), np.uint8))
    assert len(score._partial) == PENDING
    for kind in ("depth", "label"):
        score.add(kind, 3 * PENDING - 1, 3 * PENDING, np.zeros((1, 1), np.uint8))
    assert score.whole == 1


def test_truth_of_some_frames_makes_no_strays_of_the_others():
    score = Score(("rgb", "truth", "label"), CLASSES)
    image = np.zeros((2, 2), np.uint8)
    for stamp in range(4):
        for kind in ("rgb", "label") if stamp else score.stamps:
            score.add(kind, stamp, stamp, image)
    result = score.result()
    assert (result["sent"], result["labeled"], result["strays"], result["miou"]) == (4, 4, 0, 1.0)


def test_truth_of_other_classes_is_refused():
    score = Score(("truth", "label"), CLASSES)
    score.add("truth", 0, 0, np.full((2, 2), 5, np.uint8))
    with pytest.raises(ValueError, match=r"has label 5, but the network tells 5 classes \(0 to 4, 255 = void"):
        score.add("label", 0, 0, np.zeros((2, 2), np.uint8))
    assert not score.confusion.any()


def test_the_names_of_classes_are_those_that_the_node_tells(graph, tmp_path):
    """And truth of 16 bits is class ids, and an image that cannot be read costs its frame alone."""
    arguments = ["__ns:=/scored", f"output:={tmp_path}", "frames:=2", "latency_since:=image"]
    words = [word for each in arguments for word in ("-r" if each.startswith("__") else "-p", each)]
    publish = {}
    topics = {"rgb": RGB_TOPIC, "depth": DEPTH_TOPIC, "truth": TRUTH_TOPIC, "label": LABEL_TOPIC}
    heard = {kind: threading.Event() for kind in topics}
    for kind, topic in topics.items():
        events = PublisherEventCallbacks(matched=lambda status, kind=kind: status.current_count and heard[kind].set())
        publisher = graph.node.create_publisher(Image, f"/scored/{topic}", RELIABLE, event_callbacks=events)
        publish[kind] = publisher.publish
    scorer = Process([sys.executable, "-m", "cen_ros.tools.score", "--ros-args", *words])
    assert heard["label"].wait(SECONDS) and heard["truth"].wait(SECONDS)
    assert not heard["rgb"].is_set(), "the camera is listened to once the classes are known"
    classes = graph.node.create_publisher(String, f"/scored/{CLASSES_TOPIC}", LATCHED)
    classes.publish(String(data=class_map(CLASSES)))
    assert heard["rgb"].wait(SECONDS) and heard["depth"].wait(SECONDS)

    labels = np.array([[0, 1], [2, 3]], np.uint8)
    truth = labels.copy()
    truth[1, 1] = 0
    images = {
        "rgb": (np.zeros((2, 2, 3), np.uint8), "rgb8"),
        "depth": (np.ones((2, 2), np.uint16), "16UC1"),
        "truth": (truth.astype(np.uint16), "16UC1"),
        "label": (labels, "mono8"),
    }
    for second in range(3):
        for kind, (pixels, encoding) in images.items():
            message = array_to_image(pixels, encoding, Header(), Image)
            message.header.stamp.sec = second
            if kind == "rgb" and second == 1:
                message.step = 1
            publish[kind](message)
    assert scorer.wait() == 0, scorer.said()
    result = json.loads((tmp_path / "score.json").read_text())
    assert result["iou"] == {"a": 0.5, "b": 1.0, "c": 1.0, "d": 0.0, "e": None}
    assert (result["sent"], result["received"], result["labeled"], result["strays"]) == (3, 2, 3, 0)
    assert "rgb of stamp 1.000000000: expected" in scorer.said()
