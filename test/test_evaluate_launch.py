# SPDX-License-Identifier: Apache-2.0
"""A bag through the live node under the real `ros2 launch`, where that and the built package are at hand."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cen_ros[ros]'")
pytest.importorskip("rosbags", reason="rosbags is not installed")
from cen_ros.bags.writer import BagWriter
from helpers.bag_files import DEPTH, IMAGE, RGB, STORE, script
from helpers.ros_graph import SECONDS, Process

PREFIXES = [Path(prefix) for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
JPEG = "sensor_msgs/msg/CompressedImage"
LAUNCH = ["ros2", "launch", "cen_ros", "evaluate.launch.py"]
pytestmark = [
    pytest.mark.skipif(shutil.which("ros2") is None, reason="no `ros2` command: it comes with a ROS distribution"),
    pytest.mark.skipif(
        not any((prefix / "share/cen_ros/launch/evaluate.launch.py").is_file() for prefix in PREFIXES),
        reason="cen_ros is not in AMENT_PREFIX_PATH: colcon build, then source install/setup.bash",
    ),
]


@pytest.fixture
def parameters(tmp_path):
    file = tmp_path / "node.yaml"
    file.write_text("/**:\n  ros__parameters:\n    backend: none\n    image_size: [24, 32]\n")
    return f"params_file:={file}"


@pytest.fixture
def bag(tmp_path):
    """Twelve frames of noise, all of it class 0; and one compressed, which is not read."""
    with BagWriter(tmp_path / "bag") as writer:
        for topic, time, message in script():
            writer.add(topic, IMAGE, message, time)
            if topic == DEPTH:
                zeros = np.zeros(message.height * message.width, np.uint8)
                label = replace(message, encoding="mono8", step=message.width, data=zeros)
                writer.add("/camera/label", IMAGE, label, time)
        jpeg = STORE.types[JPEG](message.header, "jpeg", np.zeros(9, np.uint8))
        writer.add(f"{RGB}/compressed", JPEG, jpeg, time)
    return tmp_path / "bag"


@pytest.mark.parametrize("truth", [True, False])
def test_a_bag_is_replayed_scored_and_the_launch_ends(tmp_path, bag, parameters, truth):
    output = tmp_path / "result"
    arguments = [f"bag:={bag}", f"output:={output}", "player:=cen_ros", "weights:=synthetic13-cen", parameters]
    launched = Process([*LAUNCH, *arguments, *([] if truth else ["truth_topic:=none"])])
    assert launched.wait(5 * SECONDS) == 0, launched.said()
    result = json.loads((output / "score.json").read_text())
    assert result["sent"] == 12
    assert 0 < result["labeled"] <= 12
    assert result["strays"] == 0
    assert (result["iou"]["bed"] is not None) == truth
    assert 0 < result["latency_ms"]["median"] < 10_000, "counted from the image, for the stamps are old"
    launched.wait_for_line("frames labeled, latency")
    assert "process has died" not in launched.said()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["bag:=/nowhere"], "evaluate: /nowhere: no such file or folder"),
        ([f"rgb_topic:={RGB}/compressed"], "evaluate: /camera/color/image_raw/compressed: expected raw images"),
        (["weights:=nothing"], "not configured: weights 'nothing'"),
    ],
)
def test_what_cannot_be_evaluated_ends_with_the_reason(bag, parameters, arguments, words):
    launched = Process([*LAUNCH, f"bag:={bag}", "player:=cen_ros", parameters, *arguments])
    launched.wait(5 * SECONDS)
    assert words in launched.said()
