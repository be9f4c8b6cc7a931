# SPDX-License-Identifier: Apache-2.0
"""The node's parameters: names, types, ranges and descriptions (`ros2 param describe` shows them)."""

from __future__ import annotations

from dataclasses import dataclass

from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.node import Node


@dataclass(frozen=True)
class Settings:
    """Parameter values in the form that they are used in.

    Attributes:
        size: (height, width) that the network works at; None leaves it to the weights.
        device: None chooses by itself.
        slop_ns: largest difference of two stamps in a pair, nanoseconds.
    """

    weights: str
    device: str | None
    size: tuple[int, int] | None
    slop_ns: int


def declare(node: Node) -> None:
    """Declare every parameter. Raises rclpy's parameter exceptions where a given value has another type or range."""
    slop_range = FloatingPointRange(from_value=0.0, to_value=1.0, step=0.0)
    for name, default, description, options in (
        (
            "weights",
            "synthetic13-cen",
            "Path of a checkpoint (.safetensors), or the name of weights that come with the package. "
            "Takes effect when the node is configured.",
            {},
        ),
        (
            "device",
            "",
            "Where the network runs, in PyTorch's words: cpu, cuda, cuda:1; empty takes a GPU where there is one. "
            "Takes effect when the node is configured.",
            {},
        ),
        (
            "input_size",
            [0, 0],
            "Height and width, in pixels, that images are resized to for the network; [0, 0] takes the height that the "
            "weights were trained at, with the proportions of the image. "
            "Labels always have the size of the RGB image. Takes effect when the node is configured.",
            {},
        ),
        (
            "sync_slop",
            0.05,
            "Largest difference between the stamps of an RGB and a depth image that make a pair, in seconds. "
            "Takes effect when the node is activated.",
            {"floating_point_range": [slop_range]},
        ),
        (
            "autostart",
            True,
            "Configure and activate at start; false leaves both to a lifecycle manager.",
            {"read_only": True},
        ),
    ):
        node.declare_parameter(name, default, ParameterDescriptor(description=description, **options))


def read(node: Node) -> Settings:
    """The declared parameters' present values.

    Raises:
        ValueError: input_size is not two positive numbers, nor [0, 0].
    """
    size = tuple(node.get_parameter("input_size").value)
    if len(size) != 2 or (min(size) <= 0 and size != (0, 0)):
        raise ValueError(f"parameter input_size: expected [height, width] in pixels or [0, 0], got {list(size)}")
    return Settings(
        weights=node.get_parameter("weights").value,
        device=node.get_parameter("device").value or None,
        size=size if size != (0, 0) else None,
        slop_ns=round(node.get_parameter("sync_slop").value * 1e9),
    )
