# SPDX-License-Identifier: Apache-2.0
"""What runs while the node is active: subscriptions → pairs → mailbox → worker thread → network → outputs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from cen_ros.errors import words
from cen_ros.messages.images import nearest, sensor_arrays
from cen_ros.segmentation.input_topics import DEPTH, INFO, RGB, image_topic
from cen_ros.segmentation.measures import UNHEARD, Measures
from cen_ros.segmentation.networks import Networks
from cen_ros.segmentation.outputs import COMPLAINT_SECONDS, LATCHED, LabeledFrame, Outputs
from cen_ros.segmentation.settings import Live, Settings
from cen_ros.segmentation.sync import StampSynchronizer, stamp_ns
from cen_ros.segmentation.worker import Worker

LOOK_NS = 10**9
"""Between two looks for a publisher that keeps its camera_info."""
DEPTH_AT_HAND = 1.0
"""Seconds since the last depth image in which a network that does without it waits for its pair, for the points."""


@dataclass(frozen=True)
class Received:
    """A message and when it came, on this process's steady clock."""

    message: Any
    at_ns: int = field(default_factory=monotonic_ns)

    @property
    def stamp_ns(self) -> int:
        """Of the message."""
        return stamp_ns(self.message.header)


@dataclass(frozen=True)
class Job:
    """What the worker finds in its mailbox: a pair, or an RGB image whose depth is missing."""

    rgb: Received
    depth: Received | None
    age_ms: float
    """Of the RGB image when it came: now - stamp, where the camera's clock is ours."""
    paired_ns: int = field(default_factory=monotonic_ns)


class Pipeline:
    """Listens from construction until `stop`.

    Callbacks only store messages; one worker thread converts, labels and publishes, always the newest pair. A message
    that cannot be used costs its pair and a warning, never the node.

    Args:
        node: owns the subscriptions.
    """

    def __init__(self, node: Node, networks: Networks, outputs: Outputs, settings: Settings, live: Live):
        self._node, self._networks, self._outputs, self._settings = node, networks, outputs, settings
        self.measures = Measures()
        self._info: CameraInfo | None = None
        self._next_look_ns = 0
        self._synchronizer = StampSynchronizer(live.slop_ns, self.measures.late)
        self._patience = settings.depth_timeout or (0.0 if networks.needs_depth else DEPTH_AT_HAND)
        self._depth_ns = monotonic_ns() if networks.needs_depth else float("-inf")  # when depth was last seen
        self.live = live
        self.subscriptions: list[Subscription] = []
        self._worker = Worker(self._label, self._on_failure)  # first: callbacks may come at once
        try:
            self._subscribe_to(settings.rgb_transport, RGB, self._on_rgb)
            self._subscribe_to(settings.depth_transport, DEPTH, self._on_depth)
            self.topics = tuple(subscription.topic_name for subscription in self.subscriptions)
            self.subscriptions.append(
                node.create_subscription(CameraInfo, INFO, self._on_info, qos_profile_sensor_data)
            )
        except Exception:
            self.stop()
            raise

    def change(self, live: Live) -> None:
        """Pair by other parameter values from now on."""
        if live.offset_ns != self.live.offset_ns:
            self._synchronizer.clear()
            self.measures.forget_stamps()
        self._synchronizer.slop_ns = live.slop_ns
        self.live = live

    def stop(self) -> str:
        """Stop listening, wait for the pair in progress, and say in a line what was done."""
        for subscription in self.subscriptions:
            self._node.destroy_subscription(subscription)
        if self._worker.stop():
            self.measures.drop("the node was stopped")
        return self.measures.total()

    @property
    def nearest_ns(self) -> int | None:
        """The smallest difference between an RGB and a depth stamp since the last pair, nanoseconds."""
        return self._synchronizer.smallest_difference_ns

    @property
    def depth_missing(self) -> bool:
        """Whether RGB images are labeled alone for want of depth."""
        return self._patience > 0 and monotonic_ns() - self._depth_ns > self._patience * 1e9

    @property
    def info_missing(self) -> bool:
        """Whether somebody waits for what cannot be made without a camera_info."""
        return self._info is None and self._outputs.wants_geometry()

    def _subscribe_to(self, transport: str, topic: str, callback: Callable[[Any], None]) -> None:
        reliable = self._settings.reliability == "reliable"
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE) if reliable else qos_profile_sensor_data
        kind, full_name = Image if transport == "raw" else CompressedImage, image_topic(self._node, topic, transport)
        self.subscriptions.append(self._node.create_subscription(kind, full_name, callback, qos))

    def _listen_to_latched_info(self) -> None:
        """Hear a camera_info that was published before this node was there, if its publisher keeps it."""
        # Asking at once would make every camera that keeps none warn of a subscription that it cannot serve.
        now = monotonic_ns()
        if now < self._next_look_ns:
            return
        self._next_look_ns = now + LOOK_NS
        topic = self._node.resolve_topic_name(INFO)
        offers = [info.qos_profile for info in self._node.get_publishers_info_by_topic(topic)]
        if any(offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers):
            self._next_look_ns = sys.maxsize
            self.subscriptions.append(self._node.create_subscription(CameraInfo, topic, self._on_info, LATCHED))

    def _on_info(self, msg: CameraInfo) -> None:
        self._info = msg

    def _on_rgb(self, msg: Any) -> None:
        received = Received(msg)
        if self.info_missing:
            self._listen_to_latched_info()
        self._note(0, received)
        if self.depth_missing:
            self._synchronizer.clear()  # depth that comes back is not to lead to what was before
            self._count_unpaired()
            self._put(received, None)
        else:
            self._add(0, received, received.stamp_ns)

    def _on_depth(self, msg: Any) -> None:
        received = Received(msg)
        self._depth_ns = received.at_ns
        self._note(1, received)
        self._add(1, received, received.stamp_ns + self.live.offset_ns)

    def _note(self, stream: int, received: Received) -> None:
        self.measures.image(stream, received.stamp_ns, received.at_ns)

    def _add(self, stream: int, received: Received, stamp_ns: int) -> None:
        resets = self._synchronizer.resets
        pair = self._synchronizer.add(stream, stamp_ns, received, len(received.message.data))
        if self._synchronizer.resets != resets:
            self.measures.forget_stamps()
        self._count_unpaired()
        if pair is not None:
            rgb, depth = pair
            self.measures.pair(rgb.stamp_ns - depth.stamp_ns - self.live.offset_ns)
            self._put(rgb, depth)

    def _count_unpaired(self) -> None:
        unpaired, self._synchronizer.unpaired = self._synchronizer.unpaired, 0
        if unpaired:
            self.measures.drop("no depth of their time", unpaired)

    def _put(self, rgb: Received, depth: Received | None) -> None:
        if not self.live.run_without_subscribers and not self._outputs.wants_labels():
            self.measures.drop(UNHEARD)
            return
        age_ns = self._node.get_clock().now().nanoseconds - rgb.stamp_ns - (monotonic_ns() - rgb.at_ns)
        if self._worker.put(Job(rgb, depth, age_ns / 1e6)):
            self.measures.drop("a newer one came")

    def _label(self, job: Job) -> None:
        times = [job.rgb.at_ns, job.paired_ns, monotonic_ns()]
        depth_message = job.depth.message if job.depth else None
        rgb, own_depth = sensor_arrays(job.rgb.message, depth_message, self.topics)
        depth = None if own_depth is None else nearest(own_depth, rgb.shape[:2])
        times.append(monotonic_ns())
        wanted = self._outputs.wanted()
        prediction = self._networks.predict(rgb, depth, self._outputs.needs_confidence(wanted))
        times.append(monotonic_ns())
        frame = LabeledFrame(job.rgb.message.header, rgb, depth, prediction.labels, prediction.confidence, self._info)
        if self._settings.label_size == "depth" and own_depth is not None:
            frame = frame.resized(own_depth)
        self._outputs.publish(wanted, frame)
        times.append(monotonic_ns())
        self.measures.label((job.age_ms, *(np.diff(times) / 1e6)))

    def _on_failure(self, error: Exception) -> None:
        text = words(error)
        self.measures.fail(text)
        if self._node.context.ok():  # at shutdown nothing can be published, which is nobody's fault
            self._node.get_logger().warning(f"frame dropped: {text}", throttle_duration_sec=COMPLAINT_SECONDS)
