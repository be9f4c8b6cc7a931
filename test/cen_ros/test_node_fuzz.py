# SPDX-License-Identifier: Apache-2.0
"""The running node among thousands of damaged messages, over DDS: it lives, and accounts for every pair."""

from __future__ import annotations

import threading
from array import array
from dataclasses import replace
from functools import partial
from itertools import count

import numpy as np
import pytest
import torch

from cen_model.config import SegmentationConfig
from cen_model.models import build
from cen_model.predictor import Predictor

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cen_ros[ros]'")
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from cen_ros.segmentation.networks import Networks
from helpers.composed import Reckoned, pixels
from helpers.damaged_messages import Messages
from helpers.ros_graph import SECONDS
from helpers.segmentation_process import frame, image

PAIRS = 5000  # of two messages each
FIRST = 1_800_000_000  # seconds; later than the pairs that make sure that both ends know each other


class Accounts:
    """Waits until a pair has become a label or was dropped. Stands between the node and its measures."""

    def __init__(self, measures):
        self._changed, self._ended = threading.Condition(), 0
        for name in ("label", "drop"):
            setattr(measures, name, self._counted(getattr(measures, name)))

    def _counted(self, method):
        def count(*args):
            method(*args)
            with self._changed:
                self._ended += 1
                self._changed.notify_all()

        return count

    def wait_for(self, number):
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended >= number, SECONDS), f"{self._ended} of {number}"
            assert self._ended == number, "a pair is labeled or dropped, once"


def as_ros(msg, stamp):
    """A message of the fuzz as one of ROS's, with values that its types can hold."""
    out = Image(header=Header(stamp=stamp, frame_id="x"), encoding=msg.encoding.replace("\0", ""))
    out.height, out.width, out.step = (min(side, 2**32 - 1) for side in (msg.height, msg.width, msg.step))
    out.is_bigendian = msg.is_bigendian
    out.data = array("B", bytes(msg.data))
    return out


def absurd_info(random):
    """A camera_info that no camera has."""
    info = CameraInfo(height=int(random.integers(0, 2**32)), width=int(random.choice([0, 1, 64])))
    info.k = random.choice([0.0, np.nan, np.inf, -1.0, 1e300], 9)
    info.d = list(random.normal(size=int(random.integers(0, 20))))
    return info


def raw_pair(messages, damaged):
    while True:
        pair = messages.pair()[:2]
        if any(hasattr(msg, "format") for msg in pair):
            continue  # of another topic
        for msg in pair:
            if damaged:
                messages.damage(msg)
        return pair


def real_network():
    """A small one with random weights, as if trained at a height of 48 pixels."""
    torch.manual_seed(0)
    config = SegmentationConfig(encoder="resnet18", encoder_width=0.25, decoder="light_refinenet", decoder_width=16)
    return Networks({False: Predictor(build(replace(config, input_height=48)).eval(), device="cpu")}, {})


@pytest.mark.parametrize(("make", "pairs"), [(Reckoned, PAIRS), (real_network, PAIRS // 10)])
def test_nothing_stops_the_node(compose, make, pairs):
    network = make()
    node, messages, random = compose(network), Messages(0), np.random.default_rng(0)
    labels = node.ready(node.listen("label"))
    clouds = node.listen("points", PointCloud2)
    accounts = Accounts(node.node._pipeline.measures)
    for i in range(pairs):
        stamp = Time(sec=FIRST + i, nanosec=int(random.integers(0, 10**9)))
        rgb, depth = raw_pair(messages, damaged=i % 5 > 0)
        node.rgb.publish(as_ros(rgb, stamp))
        node.depth.publish(as_ros(depth, stamp))
        accounts.wait_for(i + 1)
        if i % 10 == 0:
            node.info.publish(absurd_info(random))
    while not labels.empty():
        labels.get()
    good = image(frame(1)[0], "rgb8", 150_000_000_000)
    node.rgb.publish(good)
    node.depth.publish(image(frame(1)[1], "16UC1", 150_000_000_000))
    label = labels.get(timeout=SECONDS)
    assert label.header == good.header
    np.testing.assert_array_equal(pixels(label), network.predict(*frame(1), False).labels)
    assert clouds.empty(), "none of these cameras can be believed"


def test_images_of_extreme_shape_are_refused_in_words(compose):
    node = compose(real_network())
    labels = node.ready(node.listen("label"))
    milliseconds = count(0, 1000)

    def film(size):
        rgb, depth = np.zeros((*size, 3), np.uint8), np.ones(size, np.uint16)
        at = next(milliseconds)
        node.rgb.publish(image(rgb, "rgb8", at))
        node.depth.publish(image(depth, "16UC1", at))

    for size, resized in [((5, 1900), "48×18240"), ((12, 900), "48×3600"), ((1300, 2), "48×0")]:
        words = f"{size[0]}×{size[1]} (height × width) would be resized to {resized}"
        node.diagnosis(lambda status, words=words: words in status["message"], partial(film, size))
    assert labels.empty()
    message = node.send(seed=1, milliseconds=next(milliseconds))
    assert labels.get(timeout=SECONDS).header == message.header


def test_absurd_stamps_do_not_stop_the_node(compose):
    """Before 1970, beyond a second of nanoseconds, leaping to and fro: many are never paired."""
    node, random = compose(), np.random.default_rng(1)
    labels = node.ready(node.listen("label"))
    rgb, depth = (image(each, encoding, 0) for each, encoding in zip(frame(1), ("rgb8", "16UC1"), strict=True))
    for _ in range(500):
        for publisher, message in ((node.rgb, rgb), (node.depth, depth)):
            sec, nanosec = random.integers(-(2**31), 2**31), random.integers(0, 2**32)
            message.header = Header(stamp=Time(sec=int(sec), nanosec=int(nanosec)))
            publisher.publish(message)
    node.ready(labels)
