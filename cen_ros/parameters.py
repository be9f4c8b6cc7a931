# SPDX-License-Identifier: Apache-2.0
"""The node's parameters: names, types, ranges and descriptions (`ros2 param describe` shows them)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.node import Node


@dataclass(frozen=True)
class Settings:
    """Parameter values in the form that they are used in.

    Attributes:
        device: None chooses by itself.
        size: (height, width) that the network works at; None leaves it to the weights.
        image_size: (height, width) of the camera's images, which the node makes itself ready for.
        engine_cache: folder of the engines; None takes the one in the user's cache folder.
        slop_ns: largest difference of two stamps in a pair, nanoseconds.
    """

    weights: str
    device: str | None
    size: tuple[int, int] | None
    image_size: tuple[int, int]
    backend: str
    precision: str
    branch: str
    engine_cache: Path | None
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
            "image_size",
            [480, 640],
            "Height and width, in pixels, of the camera's images. The engine for them is loaded, or built, when the "
            "node is configured; images of another size are labelled without an engine, which is slower.",
            {},
        ),
        (
            "backend",
            "auto",
            "What runs the network: tensorrt, inductor, openvino, onnx or eager; auto takes the best that is installed "
            "and works, none runs the network as it was trained, without building an engine. "
            "Takes effect when the node is configured.",
            {},
        ),
        (
            "precision",
            "auto",
            "fp32, fp16 or bf16; auto takes fp16 on a GPU and fp32 on a CPU. Takes effect when the node is configured.",
            {},
        ),
        (
            "branch",
            "ensemble",
            "Whose labels are published: ensemble, or rgb or depth, which runs that decoder alone and is faster. "
            "Takes effect when the node is configured.",
            {},
        ),
        (
            "engine_cache",
            "",
            "Folder where engines are kept once they are built; empty takes ~/.cache/cen_ros/engines. "
            "Takes effect when the node is configured.",
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
        ValueError: a size is not two positive numbers (input_size may be [0, 0]).
    """
    size = _size(node, "input_size", or_nothing=True)
    engine_cache = node.get_parameter("engine_cache").value
    return Settings(
        weights=node.get_parameter("weights").value,
        device=node.get_parameter("device").value or None,
        size=size if size != (0, 0) else None,
        image_size=_size(node, "image_size"),
        backend=node.get_parameter("backend").value,
        precision=node.get_parameter("precision").value,
        branch=node.get_parameter("branch").value,
        engine_cache=Path(engine_cache).expanduser() if engine_cache else None,
        slop_ns=round(node.get_parameter("sync_slop").value * 1e9),
    )


def _size(node: Node, name: str, or_nothing: bool = False) -> tuple[int, ...]:
    size = tuple(node.get_parameter(name).value)
    if len(size) == 2 and (min(size) > 0 or (or_nothing and size == (0, 0))):
        return size
    expected = "[height, width] in pixels" + (" or [0, 0]" if or_nothing else "")
    raise ValueError(f"parameter {name}: expected {expected}, got {list(size)}")
