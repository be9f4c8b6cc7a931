# SPDX-License-Identifier: Apache-2.0
"""The topics that the node hears, each another than those that it publishes."""

from __future__ import annotations

from rclpy.node import Node

from cen_ros.segmentation.settings import Settings

RGB, DEPTH, INFO = "rgb/image", "depth/image", "rgb/camera_info"


def image_topic(node: Node, name: str, transport: str) -> str:
    """Return the full name of an image topic, as image_transport has it: `name` is remapped, its transport added."""
    base = node.resolve_topic_name(name)
    return base if transport == "raw" else f"{base}/{transport}"


def refuse_shared_topics(node: Node, settings: Settings) -> None:
    """Raise ValueError where two of the node's topics are one: the node would hear itself, or mix what it publishes."""
    used = {
        RGB: image_topic(node, RGB, settings.rgb_transport),
        DEPTH: image_topic(node, DEPTH, settings.depth_transport),
        INFO: node.resolve_topic_name(INFO),
        **{f"topics.{name}": node.resolve_topic_name(topic) for name, topic in settings.topics.items()},
    }
    first: dict[str, str] = {}
    for name, topic in used.items():
        if topic in first:
            raise ValueError(f"{first[topic]} and {name} are one topic, {topic}: remap or name one of them otherwise")
        first[topic] = name
