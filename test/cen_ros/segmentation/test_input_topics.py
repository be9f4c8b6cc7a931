# SPDX-License-Identifier: Apache-2.0
"""Topics that must not be one: what the node hears, and each of what it publishes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cen_ros[ros]'")
import rclpy
from rclpy.parameter import Parameter

from cen_ros.segmentation import parameters
from cen_ros.segmentation.input_topics import refuse_shared_topics
from cen_ros.segmentation.settings import settings
from helpers.ros_graph import own_namespace


@pytest.fixture
def configure(graph) -> Callable[..., None]:
    """Checks the topics of a real node that has these remappings and parameters."""
    nodes = []

    def check(*remappings: str, **values: str) -> None:
        arguments = ["--ros-args", *(word for rule in remappings for word in ("-r", rule))]
        overrides = [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
        nodes.append(
            rclpy.create_node(
                "segmentation",
                context=graph.context,
                cli_args=arguments,
                namespace=own_namespace(),
                parameter_overrides=overrides,
                start_parameter_services=False,
            )
        )
        parameters.declare(nodes[-1])
        refuse_shared_topics(nodes[-1], settings(parameters.values_of(nodes[-1])))

    yield check
    for node in nodes:
        node.destroy_node()


@pytest.mark.parametrize(
    ("remappings", "values", "complaint"),
    [
        (["rgb/image:=/camera"], {"topics__label": "/camera"}, r"rgb/image and topics.label are one topic, /camera"),
        (
            [],
            {"topics__overlay": "~/color"},
            r"topics.color and topics.overlay are one topic, /test_.*/color: remap",
        ),
        (["~/mask:=/out", "~/label:=/out"], {}, r"topics.label and topics.mask are one topic, /out"),
        (["rgb/image:=/c", "depth/image:=/c"], {}, r"rgb/image and depth/image are one topic, /c"),
        (["~/camera_info:=rgb/camera_info"], {}, r"rgb/camera_info and topics.camera_info are one topic"),
        (
            ["rgb/image:=/c"],
            {"rgb_transport": "compressed", "topics__color": "/c/compressed"},
            r"rgb/image and topics.color are one topic, /c/compressed",
        ),
    ],
)
def test_two_on_one_topic_are_refused(configure, remappings: list[str], values: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        configure(*remappings, **values)


def test_one_base_with_two_transports_and_the_defaults_are_fine(configure) -> None:
    configure()
    configure("rgb/image:=/c", "depth/image:=/c", rgb_transport="compressed", depth_transport="compressedDepth")
