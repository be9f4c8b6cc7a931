# SPDX-License-Identifier: Apache-2.0
"""What the synthetic camera and the folder player publish, received over DDS from their own processes."""

from __future__ import annotations

import json
import sys
import threading
from functools import partial

import cv2
import numpy as np
import pytest
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from cen_model.scenes.scene_dataset import render_trajectory
from cen_ros.messages.images import image_to_array
from cen_ros.tools.camera_frames import DEPTH_TOPIC, INFO_TOPIC, RGB_TOPIC, TRUTH_TOPIC, FolderFrames
from cen_ros.tools.synthetic_camera import RELIABLE
from helpers.ros_graph import SECONDS, Process

TOPICS = {
    "rgb": (Image, RGB_TOPIC, qos_profile_sensor_data),
    "depth": (Image, DEPTH_TOPIC, qos_profile_sensor_data),
    "info": (CameraInfo, INFO_TOPIC, qos_profile_sensor_data),
    "truth": (Image, TRUTH_TOPIC, RELIABLE),
}


def receive(graph, frames: int, kinds: tuple[str, ...], module: str, parameters: dict, **environment) -> dict:
    """Messages by kind by stamp, once `module`, in a process of its own, has sent `frames` of every kind."""
    here: dict[str, dict[int, object]] = {kind: {} for kind in kinds}
    complete = threading.Event()

    def take(kind: str, message) -> None:
        stamp = message.header.stamp
        here[kind][stamp.sec * 10**9 + stamp.nanosec] = message
        if all(len(messages) >= frames for messages in here.values()):
            complete.set()

    subscriptions = [
        graph.node.create_subscription(TOPICS[kind][0], TOPICS[kind][1], partial(take, kind), TOPICS[kind][2])
        for kind in kinds
    ]
    words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={json.dumps(value)}")]
    camera = Process([sys.executable, "-m", module, "--ros-args", *words], **environment)
    arrived = complete.wait(SECONDS)
    assert camera.stop() == 0, camera.said()
    for subscription in subscriptions:
        graph.node.destroy_subscription(subscription)
    assert arrived, f"after {SECONDS} s: { {kind: len(messages) for kind, messages in here.items()} }"
    return here


def test_camera_publishes_the_rendered_trajectories_under_common_stamps(graph, tmp_path):
    size, rate, seed = (48, 64), 10.0, 5
    tour = {"seed": seed, "frames": 6, "rooms": 2, "size": size, "rate": rate, "loop": False}
    here = receive(graph, 6, tuple(TOPICS), "cen_ros.tools.synthetic_camera", tour, XDG_CACHE_HOME=str(tmp_path))
    stamps = sorted(here["rgb"])
    assert all(sorted(messages) == stamps for messages in here.values())
    expected = [frame for room in (seed, seed + 1) for frame in render_trajectory(room, 3, rate, size)]
    for stamp, frame in zip(stamps, expected, strict=True):
        rgb, depth, truth, info = (here[kind][stamp] for kind in ("rgb", "depth", "truth", "info"))
        assert (rgb.encoding, depth.encoding, truth.encoding) == ("rgb8", "16UC1", "mono8")
        assert rgb.header.frame_id == depth.header.frame_id == info.header.frame_id != ""
        np.testing.assert_array_equal(image_to_array(rgb), frame.rgb)
        np.testing.assert_array_equal(image_to_array(depth), frame.depth)
        np.testing.assert_array_equal(image_to_array(truth)[..., 0], frame.label)
        assert truth.step == truth.width
        np.testing.assert_allclose(info.k.reshape(3, 3), frame.intrinsics)
        assert (info.height, info.width) == size


def test_folder_is_published_as_recorded(graph, tmp_path):
    rng = np.random.default_rng(0)
    for kind in ("color", "depth"):
        (tmp_path / kind).mkdir()
    color = rng.integers(0, 256, (3, 24, 32, 3), dtype=np.uint8)
    depth = rng.integers(0, 9000, (3, 24, 32), dtype=np.uint16)
    for i in range(3):
        cv2.imwrite(str(tmp_path / "color" / f"{i:06d}.png"), color[i][..., ::-1])
        cv2.imwrite(str(tmp_path / "depth" / f"{i:06d}.png"), depth[i])
    parameters = {"folder": str(tmp_path), "loop": False, "rate": 2.0}
    here = receive(graph, 3, ("rgb", "depth"), "cen_ros.tools.play_folder", parameters)
    assert sorted(here["rgb"]) == sorted(here["depth"])
    for i, stamp in enumerate(sorted(here["rgb"])):
        np.testing.assert_array_equal(image_to_array(here["rgb"][stamp]), color[i])
        np.testing.assert_array_equal(image_to_array(here["depth"][stamp]), depth[i])


def test_unfit_and_missing_depth_images_are_named(tmp_path):
    for kind in ("color", "depth"):
        (tmp_path / kind).mkdir()
        cv2.imwrite(str(tmp_path / kind / "a.png"), np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match=r"depth/a.png: expected a 16-bit"):
        FolderFrames(tmp_path)[0]
    (tmp_path / "depth" / "a.png").unlink()
    with pytest.raises(ValueError, match=r"depth/a.png: no depth image"):
        FolderFrames(tmp_path)
