# SPDX-License-Identifier: Apache-2.0
"""The segmentation node as its users see it: a process of its own, reached over DDS."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from queue import Empty

import numpy as np
import pytest
import torch
import yaml

from cen_model import checkpoint
from cen_model.config import SegmentationConfig
from cen_model.models import build
from cen_model.predictor import Predictor
from helpers.balanced_groups import GROUPS, write_groups
from helpers.paths import CONFIG

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cen_ros[ros]'")
from lifecycle_msgs.msg import Transition
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters
from rclpy.parameter import parameter_value_to_python
from sensor_msgs.msg import Image
from std_msgs.msg import String

from cen_ros.segmentation.outputs import LATCHED
from helpers.ros_graph import ENVIRONMENT, SECONDS
from helpers.segmentation_process import Segmentation, frame, image

PARAMETERS = yaml.safe_load((CONFIG / "segment.yaml").read_text())["/**"]["ros__parameters"]
PARAMETERS |= {f"topics.{name}": topic for name, topic in PARAMETERS.pop("topics").items()}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    config = SegmentationConfig(encoder="resnet18", encoder_width=0.25, decoder="light_refinenet", decoder_width=16)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    checkpoint.save(path, build(config))
    return path


@pytest.fixture
def start(graph):
    """Starts nodes, and ends those that a test leaves."""
    nodes = []

    def start_node(**parameters):
        nodes.append(Segmentation(graph, **parameters))
        return nodes[-1]

    yield start_node
    for node in nodes:
        node.stop()


def encodings(i, rgb, depth):
    """A pair in varying forms: (rgb, its encoding), (depth, its encoding), the depth that the network is to see."""
    meters = np.where(depth == 0, np.nan, depth / 1000).astype(np.float32)
    return [
        ((rgb, "rgb8"), (depth, "16UC1"), depth),
        ((np.ascontiguousarray(rgb[..., ::-1]), "bgr8"), (meters, "32FC1"), meters),
        ((rgb, "rgb8"), (depth[::2, ::2], "16UC1"), depth),
    ][i % 3]


def test_every_label_has_the_stamp_and_the_content_of_its_pair(start, weights):
    """30 Hz with jitter; RGB frame 5 is dropped, depth frame 8 too, and one RGB image comes 70 ms late."""
    predictor = Predictor.load(weights, device="cpu")
    node = start(weights=weights, device="cpu")
    labels = node.labels()
    jitter, seen = np.random.default_rng(0), set()
    for i in range(15):
        rgb, depth = frame(i, (480, 640) if i == 3 else (48, 64))  # one larger than a default shared-memory segment
        rgb_pixels, depth_pixels, depth_to_label = encodings(i, rgb, depth)
        message = image(*rgb_pixels, 33 * i + int(jitter.integers(-2, 3)))
        if i != 5:
            node.rgb.publish(message)
        if i != 8:
            node.depth.publish(image(*depth_pixels, 33 * i + int(jitter.integers(-2, 3)), "depth_frame"))
        if i in (5, 8):
            continue
        label = labels.get(timeout=SECONDS)  # a label too many of an earlier frame would come out here
        expected = predictor.predict(rgb, depth_to_label).labels
        assert label.header == message.header
        assert (label.encoding, label.step, label.height, label.width) == ("mono8", rgb.shape[1], *rgb.shape[:2])
        np.testing.assert_array_equal(np.reshape(label.data, expected.shape), expected)
        seen.add(expected.tobytes())
        if i == 10:
            node.rgb.publish(image(frame(99)[0], "rgb8", 33 * i - 70))
    assert len(seen) == 13, "these weights tell the frames apart"


def test_engines_are_built_ahead_of_time_and_the_node_says_which_it_has(start, weights, tmp_path):
    parameters = {"weights": weights, "device": "cpu", "image_size": "[48,64]", "engine_cache": tmp_path}
    parameters |= {"backend": "eager", "confidence": "true"}
    arguments = [argument for name, value in parameters.items() for argument in ("-p", f"{name}:={value}")]
    command = [sys.executable, "-m", "cen_ros.build_engines", "--ros-args", *map(str, arguments)]
    built = subprocess.run(command, env=ENVIRONMENT, timeout=2 * SECONDS, check=True, capture_output=True, text=True)
    assert built.stderr.count("building an engine for 48×64 images") == 2, "with confidence and without"

    node = start(**parameters)
    node.wait_for_line(r"classes, with eager in fp32 on cpu \(as asked for\)")
    assert "loading" in node.said() and "building" not in node.said()
    labels = node.labels()
    node.send(seed=1, milliseconds=0)
    label = labels.get(timeout=SECONDS)
    expected = Predictor.load(weights, device="cpu").predict(*frame(1)).labels
    assert (np.reshape(label.data, expected.shape) == expected).mean() > 0.999

    rgb, depth = frame(2, (96, 128))
    node.rgb.publish(image(rgb, "rgb8", 500))
    node.depth.publish(image(depth, "16UC1", 500))
    assert labels.get(timeout=SECONDS).height == 96
    node.wait_for_line("images are 96×128, engines are there for 48×64: labeling without an engine")
    assert node.stop() == 0


def test_a_backend_that_is_not_there_leaves_the_node_unconfigured(start, weights):
    node = start(weights=weights, backend="tensorrt", device="cpu")
    assert "backend 'tensorrt' cannot be used: it is for NVIDIA's GPUs, not for cpu" in node.wait_for_line("ERROR")
    assert node.state() == "unconfigured"


def test_malformed_messages_are_reported_and_survived(start, weights):
    node = start(weights=weights)
    labels = node.labels()
    rgb, depth = frame(0)
    truncated = image(rgb, "rgb8", 0)
    truncated.data = truncated.data[:100]
    node.rgb.publish(truncated)
    node.depth.publish(image(depth, "16UC1", 0))
    line = node.wait_for_line("frame dropped")
    expectation = "expected a color image; expected 9216 bytes of data (48 rows, step 192), got 100"
    assert f"{node.namespace}/rgb/image: {expectation}" in line

    bad = [Image(), image(depth, "16UC1", 100), image(rgb[:0], "rgb8", 200), image(rgb, "rgb8", 300)]
    bad[-1].encoding = "nonsense"
    for message in bad:
        node.rgb.publish(message)
        twin = image(depth, "16UC1", 0)
        twin.header = message.header
        node.depth.publish(twin)
    good = node.send(seed=1, milliseconds=400)
    assert labels.get(timeout=SECONDS).header == good.header
    assert node.stop(signal.SIGTERM) == 0
    line = node.wait_for_line("frames labeled")
    dropped = sum(int(count) for count in re.findall(r"(\d+) dropped: (?:not usable|a newer one came)", line))
    assert dropped == 1 + len(bad)


def test_all_that_is_published_is_of_groups(start, weights, graph, tmp_path):
    node = start(weights=weights, device="cpu", label_groups="obstacle", mask_classes="[odd]")
    assert "not configured: label_groups 'obstacle': no such file, nor one of" in node.wait_for_line("ERROR")
    groups = str(write_groups(tmp_path))
    node.set("label_groups", ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=groups))
    assert node.change_state(Transition.TRANSITION_CONFIGURE)
    assert node.change_state(Transition.TRANSITION_ACTIVATE)
    labels, prefix = node.labels(), f"{node.namespace}/cen_segmentation"
    class_map = json.loads(graph.listen(String, f"{prefix}/class_map", LATCHED).get(timeout=SECONDS).data)
    assert [each["name"] for each in class_map["classes"]] == list(GROUPS)

    expected = Predictor.load(weights, device="cpu", label_groups=groups).predict(*frame(1)).labels
    assert set(np.unique(expected)) == {0, 1, 255}
    masks = graph.listen(Image, f"{prefix}/mask")
    for attempt in range(SECONDS):  # until the listener to the mask is known
        header = node.send(seed=1, milliseconds=1000 * attempt).header
        label = labels.get(timeout=SECONDS)
        assert label.header == header
        np.testing.assert_array_equal(np.reshape(label.data, expected.shape), expected)
        with suppress(Empty):
            mask = masks.get(timeout=1)
            break
    np.testing.assert_array_equal(np.reshape(mask.data, expected.shape), np.where(expected == 1, 255, 0))


def test_lifecycle_through_its_services(start, weights):
    node = start(weights="/nowhere/missing.safetensors")
    assert "not configured: weights '/nowhere/missing.safetensors': no such file" in node.wait_for_line("ERROR")
    assert node.state() == "unconfigured"
    assert not node.change_state(Transition.TRANSITION_CONFIGURE)
    assert not node.change_state(Transition.TRANSITION_ACTIVATE), "refused, and the node lives on"

    node.set("weights", ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=str(weights)))
    for _ in range(2):
        assert node.change_state(Transition.TRANSITION_CONFIGURE)
        assert node.state() == "inactive"
        assert node.change_state(Transition.TRANSITION_ACTIVATE)
        node.labels()
        assert node.change_state(Transition.TRANSITION_DEACTIVATE)
        node.wait_for_subscriptions(0)
        assert node.change_state(Transition.TRANSITION_CLEANUP)
        assert node.state() == "unconfigured"

    assert node.change_state(Transition.TRANSITION_CONFIGURE)
    assert node.change_state(Transition.TRANSITION_ACTIVATE)
    assert node.change_state(Transition.TRANSITION_ACTIVE_SHUTDOWN)
    node.wait_for_subscriptions(0)
    assert node.state() == "finalized"


def test_silence_is_explained_parameters_are_described_and_sigint_ends_an_active_node(start, weights):
    node = start(weights=weights)
    node.wait_for_subscriptions(1)
    node.rgb.publish(image(frame(0)[0], "rgb8", -200))
    names = list(PARAMETERS)
    described = node.call(DescribeParameters, "describe_parameters", names=names).descriptors
    assert all(len(description.description) > 30 for description in described)
    slop = described[names.index("sync_slop")].floating_point_range[0]
    assert (slop.from_value, slop.to_value) == (0.0, 1.0)
    values = node.call(GetParameters, "get_parameters", names=names).values
    assert [parameter_value_to_python(value) for value in values] == list(
        {**PARAMETERS, "weights": str(weights), "backend": "none"}.values()
    )

    for i in range(5 * SECONDS):
        if "no RGB-D pair" in node.said():
            break
        node.rgb.publish(image(frame(0)[0], "rgb8", 200 * i))
        time.sleep(0.2)  # a camera's clock
    line = node.wait_for_line("no RGB-D pair")
    assert f"no RGB-D pair: nothing on {node.namespace}/depth/image: tester offers it, but sends nothing" in line
    assert node.stop(signal.SIGINT) == 0


def test_a_value_that_cannot_be_used_is_said_at_once_and_can_be_mended(start, weights):
    node = start(weights=weights, autostart=False, input_size="[1]", rgb_transport="row")
    assert not node.change_state(Transition.TRANSITION_CONFIGURE)
    line = node.wait_for_line("not configured")
    assert "input_size: expected [height, width]" in line and "rgb_transport: value 'row' is unknown" in line
    assert node.state() == "unconfigured"

    node.set("rgb_transport", ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="raw"))
    node.set("input_size", ParameterValue(type=ParameterType.PARAMETER_INTEGER_ARRAY, integer_array_value=[0, 0]))
    refused = node.refusal("label_size", ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="deph"))
    assert refused == "parameter label_size: value 'deph' is unknown; did you mean depth?"
    for name in ("branch", "backend", "topics.label"):
        assert name in node.refusal(name, ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="a b"))
    assert node.change_state(Transition.TRANSITION_CONFIGURE)
    assert node.change_state(Transition.TRANSITION_ACTIVATE)
    node.labels()


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [({"sync_slop": 3.0}, "sync_slop out of range"), ({"weights": 7}, "'weights' to '7' of type 'INTEGER'")],
)
def test_a_parameter_of_another_type_or_range_ends_the_start_in_words(start, parameters, complaint):
    node = start(**parameters)
    assert "Traceback" not in node.wait_for_line(complaint)
    assert node.wait() == 1
