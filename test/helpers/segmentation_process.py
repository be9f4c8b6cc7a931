# SPDX-License-Identifier: Apache-2.0
"""The segmentation node as a process under test, with two cameras of its own and images for them."""

from __future__ import annotations

import sys
from contextlib import suppress
from queue import Empty

import numpy as np
from builtin_interfaces.msg import Time
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter
from rcl_interfaces.srv import SetParameters
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from cen_ros.messages.images import array_to_image
from helpers.ros_graph import SECONDS, Process, own_namespace

START_MS = 1_700_000_000_000


class Segmentation(Process):
    """A node in a namespace of its own, and two cameras for it."""

    def __init__(self, graph, types=(Image, Image), **parameters):
        self.graph = graph
        self.namespace = own_namespace()
        arguments = ["-r", f"__ns:={self.namespace}"]
        for name, value in {"backend": "none", **parameters}.items():
            arguments += ["-p", f"{name}:={value}"]
        super().__init__([sys.executable, "-m", "cen_ros.node", "--ros-args", *arguments])
        topics = [f"{self.namespace}/{name}/image" for name in ("rgb", "depth")]
        self.rgb, self.depth = (graph.publisher(*each) for each in zip(types, topics, strict=True))

    def call(self, service_type, name, **fields):
        return self.graph.call(service_type, f"{self.namespace}/cen_segmentation/{name}", **fields)

    def change_state(self, transition):
        return self.call(ChangeState, "change_state", transition=Transition(id=transition)).success

    def set(self, name, value):
        """Set a parameter to a ParameterValue."""
        assert self.refusal(name, value) is None

    def refusal(self, name, value):
        """Why a parameter cannot be set to a ParameterValue; None if it is set."""
        response = self.call(SetParameters, "set_parameters", parameters=[Parameter(name=name, value=value)])
        return None if response.results[0].successful else response.results[0].reason

    def state(self):
        return self.call(GetState, "get_state").current_state.label

    def wait_for_subscriptions(self, count):
        self.rgb.wait_for_listeners(count)
        self.depth.wait_for_listeners(count)

    def labels(self):
        """The queue of labels, once pairs go in and labels come out: DDS tells either end of the other separately."""
        labels = self.graph.listen(Image, f"{self.namespace}/cen_segmentation/label")
        self.wait_for_subscriptions(1)
        for attempt in range(SECONDS):
            sent = self.send(seed=0, milliseconds=-100_000 + 1000 * attempt)
            with suppress(Empty):
                while labels.get(timeout=1).header != sent.header:
                    continue
                return labels
        raise AssertionError("no labels")

    def send(self, seed, milliseconds):
        """Publish one good pair; the RGB message."""
        rgb, depth = frame(seed)
        message = image(rgb, "rgb8", milliseconds)
        self.rgb.publish(message)
        self.depth.publish(image(depth, "16UC1", milliseconds, "depth_frame"))
        return message


def frame(seed, size=(48, 64)):
    """Coarse colored blocks and depth with holes, so that even random weights see different things."""
    random = np.random.default_rng(seed)
    blocks = np.ones((size[0] // 6, size[1] // 8), np.uint8)
    rgb = np.stack([np.kron(random.integers(0, 256, (6, 8)).astype(np.uint8), blocks) for _ in range(3)], axis=2)
    return rgb, np.kron(random.choice([0, 500, 1500, 4000, 9000], (6, 8)).astype(np.uint16), blocks)


def image(array, encoding, milliseconds, frame_id="rgb_optical_frame"):
    seconds, rest = divmod(START_MS + milliseconds, 1000)
    header = Header(stamp=Time(sec=seconds, nanosec=rest * 1_000_000 + 123), frame_id=frame_id)
    return array_to_image(array, encoding, header, Image)
