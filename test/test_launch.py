# SPDX-License-Identifier: Apache-2.0
"""The launch file under the real `ros2 launch`, where a ROS distribution and the built package are at hand."""

import os
import re
import shutil
import signal
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cen_ros[ros]'")
from helpers.ros_graph import ENVIRONMENT, Process

PREFIXES = [Path(prefix) for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
pytestmark = [
    pytest.mark.skipif(shutil.which("ros2") is None, reason="no `ros2` command: it comes with a ROS distribution"),
    pytest.mark.skipif(
        not any((prefix / "share/cen_ros/launch").is_dir() for prefix in PREFIXES),
        reason="cen_ros is not in AMENT_PREFIX_PATH: colcon build, then source install/setup.bash",
    ),
]


@pytest.mark.parametrize("profile", ["", "/dev/null"])
def test_launch_sets_topics_parameters_and_the_profile_unless_there_is_one(tmp_path, profile):
    parameters = tmp_path / "my.yaml"
    parameters.write_text("/**:\n  ros__parameters:\n    weights: from_file\n    autostart: false\n")
    launched = Process(
        ["ros2", "launch", "cen_ros", "segment.launch.py", f"params_file:={parameters}", "namespace:=robot"]
        + ["autostart:=true", "rgb_topic:=/my/rgb", "log_level:=debug"],
        FASTRTPS_DEFAULT_PROFILES_FILE=profile,
        FASTDDS_DEFAULT_PROFILES_FILE=profile,
    )
    pid = re.search(r"pid \[(\d+)\]", launched.wait_for_line("process started"))[1]
    assert "[robot.cen_segmentation]: not configured: weights 'from_file'" in launched.wait_for_line("not configured")
    variables = dict(part.split("=", 1) for part in Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in part)
    assert variables["ROS_DOMAIN_ID"] == ENVIRONMENT["ROS_DOMAIN_ID"]
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        assert variables[name].endswith(profile or "share/cen_ros/config/fastdds_large_images.xml")
    assert launched.stop(signal.SIGINT) == 0
    launched.wait_for_line("process has finished cleanly")
