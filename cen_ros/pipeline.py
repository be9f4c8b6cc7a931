# SPDX-License-Identifier: Apache-2.0
"""What runs while the node is active: subscriptions → pairs → mailbox → worker thread → network → publisher."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from cen_ros.images import array_to_image, rgbd_arrays
from cen_ros.sync import StampSynchronizer
from cen_ros.watch import PairWatch
from cen_ros.worker import Worker

if TYPE_CHECKING:  # imports PyTorch, which takes seconds
    from cen_model.predictor import Predictor

TOPICS = ("rgb/image", "depth/image")  # streams 0 and 1
WATCH_SECONDS = 5.0


class Pipeline:
    """Listens from construction until `stop`.

    Callbacks only store messages; one worker thread converts, labels and publishes, always the newest pair. A message
    that cannot be used costs its pair and a warning, never the node.

    Args:
        node: owns the subscriptions.
        predictor: labels the pairs.
        publisher: takes the labels as Image messages.
        slop_ns: largest difference of two stamps in a pair, nanoseconds.
    """

    def __init__(self, node: Node, predictor: Predictor, publisher: Publisher, slop_ns: int):
        self._node = node
        self._predictor = predictor
        self._publisher = publisher
        self._labelled = self._failed = 0
        self._synchronizer = StampSynchronizer(slop_ns)
        self._subscriptions = [
            node.create_subscription(Image, topic, partial(self._on_image, stream), qos_profile_sensor_data)
            for stream, topic in enumerate(TOPICS)
        ]
        self.topics = tuple(subscription.topic_name for subscription in self._subscriptions)
        self._watch = PairWatch(self.topics, slop_ns)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still, which is worth a warning
        self._timer = node.create_timer(WATCH_SECONDS, self._warn_of_silence, clock=steady)
        self._worker = Worker(self._label, self._on_failure)  # last: nothing above may leave its thread behind

    def stop(self) -> str:
        """Stop listening, wait for the pair in progress, and say in a line what was done."""
        self._node.destroy_timer(self._timer)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._worker.stop()
        return (
            f"{self._labelled} pairs labelled, {self._worker.dropped} dropped for newer ones, {self._failed} not usable"
        )

    def _on_image(self, stream: int, msg: Image) -> None:
        self._watch.image(stream)
        stamp_ns = msg.header.stamp.sec * 1_000_000_000 + msg.header.stamp.nanosec
        pair = self._synchronizer.add(stream, stamp_ns, msg)
        if pair is not None:
            self._watch.pair()
            self._worker.put(pair)

    def _label(self, pair: tuple[Image, Image]) -> None:
        rgb, depth = rgbd_arrays(*pair, names=self.topics)
        labels = self._predictor.predict(rgb, depth).labels
        self._publisher.publish(array_to_image(labels, "mono8", pair[0].header, Image))
        self._labelled += 1

    def _on_failure(self, error: Exception) -> None:
        self._failed += 1
        if self._node.context.ok():  # at shutdown nothing can be published, which is nobody's fault
            self._node.get_logger().warning(f"pair dropped: {error}", throttle_duration_sec=WATCH_SECONDS)

    def _warn_of_silence(self) -> None:
        publishers = tuple(self._node.count_publishers(topic) for topic in self.topics)
        reason = self._watch.report(publishers, self._synchronizer.smallest_difference_ns)
        if reason:
            self._node.get_logger().warning(reason)
