# SPDX-License-Identifier: Apache-2.0
"""The segmentation node composed into the tester's process, with a network whose answer can be reckoned by hand."""

from __future__ import annotations

import time
from queue import Empty, SimpleQueue

import numpy as np
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image

from cen_model.predictor import Prediction
from cen_ros.node import SegmentationNode
from cen_ros.segmentation.diagnostics import subscribe
from helpers.ros_graph import SECONDS, Publisher, own_namespace
from helpers.segmentation_process import frame, image

CLASSES = ("bed", "book", "chair", "floor", "sofa", "table", "wall", "window")


class Reckoned:
    """A network that answers red / 32 as label, green as confidence and, without depth, 7 everywhere."""

    classes, device = CLASSES, "cpu"

    def __init__(self, seconds=0.0, needs_depth=True):
        self.seconds, self.needs_depth, self.runs, self.confidences = seconds, needs_depth, 0, 0

    def __str__(self):
        return "nothing but arithmetic"

    def predict(self, rgb, depth, confidence):
        self.runs += 1
        self.confidences += confidence
        time.sleep(self.seconds)  # what a slow network does
        labels = rgb[..., 0] // 32 if depth is not None else np.full(rgb.shape[:2], 7, np.uint8)
        return Prediction(np.ascontiguousarray(labels), np.ascontiguousarray(rgb[..., 1]) if confidence else None)


class Composed:
    """The node, two cameras for it, and what it says."""

    def __init__(self, graph, network, types=(Image, Image), suffixes=("", ""), **parameters):
        self.graph, self.network = graph, network
        self.namespace = own_namespace()
        overrides = [Parameter(name.replace("__", "."), value=value) for name, value in parameters.items()]
        self.node = SegmentationNode(
            lambda settings: network, namespace=self.namespace, parameter_overrides=overrides, context=graph.context
        )
        topics = [
            f"{self.namespace}/{name}/image{suffix}" for name, suffix in zip(("rgb", "depth"), suffixes, strict=True)
        ]
        self.rgb, self.depth = (Publisher(graph.node, *each) for each in zip(types, topics, strict=True))
        self.info = Publisher(graph.node, CameraInfo, f"{self.namespace}/rgb/camera_info")
        graph.add(self.node)
        graph.run(self.node.autostart)

    def close(self):
        self.graph.run(self.node.destroy_node)
        self.graph.remove(self.node)

    def topic(self, name):
        return f"{self.namespace}/cen_segmentation/{name}"

    def listen(self, name, message_type=Image, qos=10, **options):
        return self.graph.listen(message_type, self.topic(name), qos, **options)

    def set(self, **values):
        results = self.node.set_parameters([Parameter(name, value=value) for name, value in values.items()])
        return [result.reason for result in results if not result.successful]

    def send(self, seed, milliseconds, depth_milliseconds=None):
        """Publish one good pair; the RGB message."""
        rgb, depth = frame(seed)
        message = image(rgb, "rgb8", milliseconds)
        self.rgb.publish(message)
        later = milliseconds if depth_milliseconds is None else depth_milliseconds
        self.depth.publish(image(depth, "16UC1", later, "depth_frame"))
        return message

    def ready(self, queue):
        """Let pairs go in until something comes out: DDS tells either end of the other separately."""
        for publisher in (self.rgb, self.depth):
            publisher.wait_for_listeners(1)
        for attempt in range(SECONDS):
            sent = self.send(seed=0, milliseconds=-100_000 + 1000 * attempt)
            try:
                while queue.get(timeout=1).header != sent.header:
                    continue
            except Empty:
                continue
            return queue
        raise AssertionError("nothing came out")

    def diagnosis(self, condition, meanwhile=lambda: None):
        """The first diagnostics from now on for which `condition(status)` holds; `meanwhile` is done for each."""
        reports = SimpleQueue()
        subscribe(self.graph.node, self.topic("").rstrip("/"), reports.put)
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            meanwhile()
            status = reports.get(timeout=SECONDS)
            if condition(status):
                return status
        raise AssertionError(f"not so within {SECONDS} s: {status}")


def pixels(msg, dtype=np.uint8):
    """The pixels of a message, read without the code under test."""
    array = np.frombuffer(bytes(msg.data), dtype)
    return array.reshape(msg.height, msg.width, -1).squeeze()
