# SPDX-License-Identifier: Apache-2.0
"""An RGB-D camera that walks through synthetic rooms and publishes what it sees, with the true labels.

Everything is rendered before the first frame is published, so that the cores are free while frames flow.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np
import rclpy
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from cen_model.utils.validation import POSITIVE
from cen_ros.context import running
from cen_ros.declaration import declared
from cen_ros.messages.camera_model import pinhole
from cen_ros.messages.images import array_to_image
from cen_ros.tools.camera_frames import (
    DEPTH_TOPIC,
    FRAME_ID,
    INFO_TOPIC,
    RGB_TOPIC,
    TRUTH_TOPIC,
    CameraFrame,
    TourFrames,
    render_with_progress,
)

RELIABLE = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)


class Camera(Node):
    """
    Publishes frames at a fixed rate, each under one stamp taken from the clock at that moment.

    Topics: RGB (rgb8), depth (16UC1, mm) and camera_info with the sensor-data QoS, the truth (mono8) reliably.
    The first frame goes out once RGB and depth have `subscribers` subscribers each.
    """

    def __init__(self, name: str):
        super().__init__(name)
        self.rate = declared(self, "rate", 10.0)
        self.subscribers = declared(self, "subscribers", 1)
        self.loop = declared(self, "loop", True)
        self.frame_id = declared(self, "frame_id", FRAME_ID)
        if not POSITIVE.holds(self.rate):
            raise ValueError(f"parameter rate: expected frames per second above 0, got {self.rate}")
        self.rgb = self.create_publisher(Image, RGB_TOPIC, qos_profile_sensor_data)
        self.depth = self.create_publisher(Image, DEPTH_TOPIC, qos_profile_sensor_data)
        self.info = self.create_publisher(CameraInfo, INFO_TOPIC, qos_profile_sensor_data)
        self.truth = self.create_publisher(Image, TRUTH_TOPIC, RELIABLE)

    def play(self, frames: Sequence[CameraFrame]) -> None:
        """Publish `frames` from now on, once or (parameter `loop`) for ever. The node must be spun."""
        self.frames, self.sent, self.watched = frames, 0, False
        self.timer = self.create_timer(1 / self.rate, self._tick)
        self.get_logger().info(f"{len(frames)} frames ready; waiting for {self.subscribers} subscriber(s)")

    def _tick(self) -> None:
        if not self.watched:  # start one period later: the subscribers may learn of us after we learn of them
            counts = [publisher.get_subscription_count() for publisher in (self.rgb, self.depth)]
            self.watched = min(counts) >= self.subscribers
            return
        self._publish(self.frames[self.sent % len(self.frames)])
        self.sent += 1
        if self.sent == len(self.frames) and not self.loop:
            # The node lives on: a publisher that leaves takes images with it that have not been read yet.
            self.timer.cancel()
            self.get_logger().info(f"all {self.sent} frames sent")

    def _publish(self, frame: CameraFrame) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self.frame_id)
        self.rgb.publish(array_to_image(frame.rgb, "rgb8", header, Image))
        self.depth.publish(array_to_image(frame.depth, "16UC1", header, Image))
        if frame.intrinsics is not None:
            self.info.publish(camera_info(frame.intrinsics, frame.depth.shape, header))
        if frame.label is not None:
            self.truth.publish(array_to_image(frame.label, "mono8", header, Image))


def camera_info(intrinsics: np.ndarray, size: tuple[int, int], header: Header) -> CameraInfo:
    """A pinhole camera without distortion; `intrinsics` (3, 3) in pixels, `size` (H, W)."""
    matrices = {name: values.tolist() for name, values in pinhole(intrinsics).items()}
    return CameraInfo(header=header, height=size[0], width=size[1], distortion_model="plumb_bob", **matrices)


def run(name: str, film: Callable[[Camera], Sequence[CameraFrame]]) -> None:
    """Run a camera node with the frames that `film` makes until the process is asked to stop (Ctrl-C, SIGTERM)."""
    try:
        with running() as interrupts:
            camera = Camera(name)
            with interrupts.interruptible():
                frames = film(camera)
            camera.play(frames)
            rclpy.spin(camera)
    except (ValueError, ParameterException) as error:
        sys.exit(f"{name}: {error}")


def synthetic_frames(camera: Camera) -> Sequence[CameraFrame]:
    """A tour as the node's parameters describe it."""
    defaults = {"seed": 3_000_000, "frames": 300, "rooms": 6, "size": [240, 320]}
    tour = {name: declared(camera, name, value) for name, value in defaults.items()}
    return TourFrames(render_with_progress(**tour, rate=camera.rate))


def main() -> None:
    """The node `synthetic_camera`; parameters seed, frames, rooms, size, and those of `Camera`."""
    run("synthetic_camera", synthetic_frames)


if __name__ == "__main__":
    main()
