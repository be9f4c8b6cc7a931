# SPDX-License-Identifier: Apache-2.0
"""A camera that sends pairs of images to the node, and takes its labels and diagnostics."""

from __future__ import annotations

import time
from queue import Empty, SimpleQueue

import numpy as np
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from cen_ros.messages.images import array_to_image
from cen_ros.segmentation.diagnostics import subscribe
from cen_ros.segmentation.sync import stamp_ns

PATIENCE = 5.0
"""Seconds after which a label counts as lost."""


class Camera:
    """Sends pairs of images of one size, and takes the labels."""

    def __init__(self, node: Node, size: tuple[int, int]):
        random = np.random.default_rng(0)
        self._node = node
        self._rgb = random.integers(0, 256, (*size, 3), np.uint8)
        self._depth = random.integers(500, 5000, size, np.uint16)
        self._publishers = [
            node.create_publisher(Image, topic, qos_profile_sensor_data) for topic in ("rgb/image", "depth/image")
        ]
        self._labels: SimpleQueue[tuple[int, int]] = SimpleQueue()
        self.reports: SimpleQueue[dict] = SimpleQueue()
        node.create_subscription(Image, "cen_segmentation/label", self._take, 10)
        subscribe(node, "cen_segmentation", lambda status: self.reports.put(status["values"]))

    def _take(self, msg: Image) -> None:
        self._labels.put((stamp_ns(msg.header), time.monotonic_ns()))

    def send(self) -> int:
        """Publish a pair; its stamp, nanoseconds."""
        now = self._node.get_clock().now()
        header = Header(stamp=now.to_msg(), frame_id="camera")
        for publisher, image, encoding in zip(
            self._publishers, (self._rgb, self._depth), ("rgb8", "16UC1"), strict=True
        ):
            publisher.publish(array_to_image(image, encoding, header, Image))
        return now.nanoseconds

    def there_and_back(self) -> float | None:
        """Milliseconds from before a pair is sent to the arrival of its label; None if that is lost."""
        begun = time.monotonic_ns()
        stamp = self.send()
        try:
            while True:
                label, arrived = self._labels.get(timeout=PATIENCE)
                if label == stamp:
                    return (arrived - begun) / 1e6
        except Empty:
            return None

    def arrived(self) -> int:
        """How many labels came since the last look; waits until no more come."""
        count = 0
        try:
            while True:
                self._labels.get(timeout=1.0)
                count += 1
        except Empty:
            return count
