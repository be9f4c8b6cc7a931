# SPDX-License-Identifier: Apache-2.0
"""A recorded bag, evaluated offline and replayed into the live node: label for label the same."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cen_ros[ros]'")
pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'cen_ros[bags]'")
pytest.importorskip("embreex", reason="embreex is not installed: pip install 'cen_ros[sim]'")
from queue import Empty

from cen_ros import evaluate_bag
from cen_ros.bags.reader import Bag
from cen_ros.messages.images import label_to_array
from cen_ros.tools import record_synthetic
from cen_ros.tools.camera_frames import DEPTH_TOPIC, RGB_TOPIC
from helpers.ros_graph import Process
from helpers.segmentation_process import Segmentation

FRAMES = 12
WEIGHTS = "synthetic13-cen"


def by_stamp(messages):
    return {(msg.header.stamp.sec, msg.header.stamp.nanosec): label_to_array(msg) for msg in messages}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A bag of synthetic rooms, and what `evaluate_bag` says of it."""
    folder = tmp_path_factory.mktemp("agreement")
    rooms = ["--frames", str(FRAMES), "--rooms", "2", "--size", "120", "160", "--rate", "2"]
    assert record_synthetic.main([str(folder / "bag"), *rooms]) == 0
    options = ["--weights", WEIGHTS, "--device", "cpu", "--output", str(folder / "offline"), "--write-bag"]
    assert evaluate_bag.main([str(folder / "bag"), *options]) == 0
    report = json.loads((folder / "offline" / "report.json").read_text())
    with Bag(folder / "offline" / "labeled") as bag:
        labels = by_stamp(each.message for each in bag.messages(["/cen_segmentation/label"]))
    return folder / "bag", report, labels


def test_live_and_offline_agree(graph, recorded):
    bag, report, offline = recorded
    assert report["frames"] == len(offline) == FRAMES
    node = Segmentation(graph, weights=WEIGHTS, device="cpu")
    try:
        queue = node.labels()
        remapped = [f"/{RGB_TOPIC}:={node.namespace}/rgb/image", f"/{DEPTH_TOPIC}:={node.namespace}/depth/image"]
        arguments = [word for each in remapped for word in ("-r", each)]
        player = Process(
            [sys.executable, "-m", "cen_ros.tools.play", bag, "--subscribers", "1", "--ros-args", *arguments]
        )
        player.wait_for_line("the schedule slipped by")
        assert player.wait() == 0
        received = []
        try:
            while True:
                received.append(queue.get(timeout=2))
        except Empty:
            pass
    finally:
        assert node.stop() == 0
    live = by_stamp(received)
    both = live.keys() & offline.keys()
    assert len(both) >= FRAMES // 2, "the live node drops what is too fast for it"
    for stamp in both:
        np.testing.assert_array_equal(live[stamp], offline[stamp])
    assert len({labels.tobytes() for labels in offline.values()}) == FRAMES, "no two frames look the same"
