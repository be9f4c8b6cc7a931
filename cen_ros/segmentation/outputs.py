# SPDX-License-Identifier: Apache-2.0
"""What the node publishes of a labeled frame: only what somebody listens to.

Axes: H W the pixels of the labels, at the RGB image's size or at the depth image's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header, String

from cen_ros.classes import class_ids, class_map, label_info
from cen_ros.messages.camera_model import intrinsics, resized_fields
from cen_ros.messages.cloud import CloudMaker
from cen_ros.messages.images import array_to_image, nearest
from cen_ros.messages.paint import Painter, mask, with_unlabeled
from cen_ros.segmentation.settings import Live, Settings

TYPES = {
    "label": Image,
    "confidence": Image,
    "color": Image,
    "overlay": Image,
    "mask": Image,
    "points": PointCloud2,
    "camera_info": CameraInfo,
}
_GEOMETRY = {"camera_info", "points"}
COMPLAINT_SECONDS = 5.0
"""Between two warnings of one kind."""

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclass(frozen=True)
class LabeledFrame:
    """A frame as the network has seen it, and what it said.

    Attributes:
        header: the RGB image's.
        rgb: uint8 (H, W, 3).
        depth: uint16 mm or float32 m (H, W); None where it is missing.
        labels: uint8 (H, W).
        confidence: uint8 (H, W), None where it was not asked for.
        info: the RGB camera's, None where there is none.
    """

    header: Header
    rgb: np.ndarray
    depth: np.ndarray | None
    labels: np.ndarray
    confidence: np.ndarray | None
    info: CameraInfo | None

    def resized(self, depth: np.ndarray) -> LabeledFrame:
        """The frame at the size of another resolution of its depth image."""
        at = partial(nearest, size=depth.shape)
        confidence = None if self.confidence is None else at(self.confidence)
        return replace(self, rgb=at(self.rgb), depth=depth, labels=at(self.labels), confidence=confidence)


class Outputs:
    """The publishers of a configured node, and what goes out by them.

    Raises:
        ValueError: where `live` names a class that the network does not have.
    """

    def __init__(self, node: LifecycleNode, settings: Settings, live: Live, classes: tuple[str, ...]):
        self._node, self._classes, self._encoding = node, classes, settings.label_encoding
        self._topics, self._points_color = settings.topics, settings.points_color
        self._confident = settings.confidence
        self.change(live)
        self._painter, self._clouds = Painter(len(classes)), CloudMaker()
        self._latched = {"class_map": String(data=class_map(classes)), "label_info": label_info(classes)}
        self._publishers: dict[str, LifecyclePublisher] = {}
        try:
            for name, message_type in TYPES.items():
                if name != "confidence" or settings.confidence:
                    self._advertise(name, message_type, QoSProfile(depth=5))
            for name, message in self._latched.items():
                if message is not None:
                    self._advertise(name, type(message), LATCHED)
        except Exception:
            self.destroy()
            raise

    def change(self, live: Live) -> None:
        """Publish by other parameter values from now on. Raises what `checked` raises, and then changes nothing."""
        self._present = self.checked(live)  # in one step: frames are under way

    def checked(self, live: Live) -> tuple[Live, tuple[int, ...]]:
        """Return parameter values with the ids of the classes that they name.

        Raises ValueError where they name unknown classes, or ask for a confidence that the node has no engine for.
        """
        if live.min_confidence > 0 and not self._confident:
            raise ValueError(
                "parameter min_confidence: expected 0, for the node was configured with confidence: false; "
                "configure it anew with confidence: true"
            )
        return live, class_ids(live.mask_classes, self._classes)

    def announce(self) -> None:
        """Publish what the labels mean, for those too who come later."""
        for name, message in self._latched.items():
            if message is not None:
                self._publishers[name].publish(message)

    def wanted(self) -> frozenset[str]:
        """What somebody listens to."""
        return frozenset(name for name in TYPES.keys() & self._publishers if self._listeners(name))

    def wants_labels(self) -> bool:
        """Whether somebody listens to anything that the network is for."""
        return not self.wanted() <= {"camera_info"}

    def wants_geometry(self) -> bool:
        """Whether somebody listens to what takes a camera_info."""
        return not self.wanted().isdisjoint(_GEOMETRY)

    def needs_confidence(self, wanted: frozenset[str]) -> bool:
        """Whether any of it depends on how certain the labels are."""
        if not self._confident:
            return False
        return self._present[0].min_confidence > 0 or not wanted.isdisjoint({"confidence", "points"})

    def publish(self, wanted: frozenset[str], frame: LabeledFrame) -> None:
        """Publish what is wanted; a cloud that cannot be made is said, and costs the cloud alone."""
        live, mask_ids = self._present
        holes = frame.depth if live.unlabel_missing_depth else None
        labels = with_unlabeled(frame.labels, holes, frame.confidence, live.min_confidence)
        images = {
            "label": lambda: self._label(labels, frame.header),
            "confidence": lambda: array_to_image(frame.confidence, "mono8", frame.header, Image),
            "color": lambda: array_to_image(self._painter.color(labels), "rgb8", frame.header, Image),
            "overlay": lambda: array_to_image(
                self._painter.overlay(frame.rgb, labels, live.overlay_alpha), "rgb8", frame.header, Image
            ),
            "mask": lambda: array_to_image(mask(labels, mask_ids), "mono8", frame.header, Image),
        }
        for name, make in images.items():  # label first: it is what others wait for
            if name in wanted:
                self._publishers[name].publish(make())
        if frame.info is not None and not wanted.isdisjoint(_GEOMETRY):
            self._publish_geometry(wanted, replace(frame, labels=labels))

    def destroy(self) -> None:
        """Take the publishers out of the graph."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers = {}

    def topic(self, name: str) -> str:
        """The full name of a topic."""
        return self._publishers[name].topic_name

    def _advertise(self, name: str, message_type: type, qos: QoSProfile) -> None:
        self._publishers[name] = self._node.create_lifecycle_publisher(message_type, self._topics[name], qos)

    def _warn(self, text: str) -> None:
        self._node.get_logger().warning(text, throttle_duration_sec=COMPLAINT_SECONDS)

    def _listeners(self, name: str) -> int:
        return self._publishers[name].get_subscription_count()

    def _label(self, labels: np.ndarray, header: Header) -> Image:
        values = labels if self._encoding == "mono8" else labels.astype(np.int16)
        return array_to_image(values, self._encoding, header, Image)

    def _publish_geometry(self, wanted: frozenset[str], frame: LabeledFrame) -> None:
        if "camera_info" in wanted:
            self._publish_info(frame)
        if "points" in wanted and frame.depth is not None:
            self._publish_points(frame)

    def _publish_info(self, frame: LabeledFrame) -> None:
        try:
            info = _of_frame(frame)
        except ValueError as error:
            self._warn(f"no camera_info: {error}")
            return
        self._publishers["camera_info"].publish(info)

    def _publish_points(self, frame: LabeledFrame) -> None:
        try:
            matrix = intrinsics(frame.info, frame.depth.shape)
        except ValueError as error:
            self._warn(f"no points: {error}")
            return
        colors = self._painter.color(frame.labels) if self._points_color == "label" else frame.rgb
        cloud = self._clouds.cloud(frame.depth, colors, frame.labels, frame.confidence, matrix, frame.header)
        self._publishers["points"].publish(cloud)


def _of_frame(frame: LabeledFrame) -> CameraInfo:
    """The camera's message with the frame's header and size; its arrays are shared where they are the same."""
    info = frame.info
    fields = {name: getattr(info, name) for name in info.get_fields_and_field_types()}
    return CameraInfo(**{**fields, "header": frame.header, **resized_fields(info, frame.labels.shape)})
