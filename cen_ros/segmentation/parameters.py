# SPDX-License-Identifier: Apache-2.0
"""The node's parameters: names, types, ranges and descriptions (`ros2 param describe` shows them)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from cen_ros.declaration import declared, is_empty

CONFIGURED = "Takes effect when the node is configured."
AT_ONCE = "May be changed at any time."

TOPICS = {
    "label": "~/label",
    "confidence": "~/confidence",
    "color": "~/color",
    "overlay": "~/overlay",
    "mask": "~/mask",
    "points": "~/points",
    "camera_info": "~/camera_info",
    "label_info": "~/label_info",
    "class_map": "~/class_map",
    "diagnostics": "/diagnostics",
}
"""Default names of what the node publishes."""


@dataclass(frozen=True)
class Parameter:
    """How a parameter is declared; `most` is the end of its range, which begins at `least`."""

    default: Any
    description: str
    least: float = 0.0
    most: float | None = None
    read_only: bool = False

    def descriptor(self) -> ParameterDescriptor:
        """What ROS is told of it."""
        ranges = []
        if self.most is not None:
            ranges.append(FloatingPointRange(from_value=self.least, to_value=self.most, step=0.0))
        return ParameterDescriptor(description=self.description, floating_point_range=ranges, read_only=self.read_only)


PARAMETERS = {
    "weights": Parameter(
        "synthetic13-cen",
        f"Path of a checkpoint (.safetensors), or the name of weights that come with the package. {CONFIGURED}",
    ),
    "label_groups": Parameter(
        "",
        "File of groups of classes, or the name of one that comes with the package (nyu13, obstacles, traversable). "
        "The probabilities of a group's classes are summed, and all that is published is of groups: ids, names, "
        f"colors, confidence, mask. Empty leaves the classes of the weights. {CONFIGURED}",
    ),
    "device": Parameter(
        "",
        "Where the network runs, in PyTorch's words: cpu, cuda, cuda:1; empty takes a GPU where there is one. "
        f"{CONFIGURED}",
    ),
    "input_size": Parameter(
        [0, 0],
        "Height and width, in pixels, that images are resized to for the network; [0, 0] takes the height that the "
        "weights were trained at, with the proportions of the image, and refuses images for which that is more than "
        f"four times as large as in training. {CONFIGURED}",
    ),
    "image_size": Parameter(
        [480, 640],
        "Height and width, in pixels, of the camera's images. The engine for them is loaded, or built, when the node "
        "is configured; images of another size are labeled without an engine, which is slower.",
    ),
    "backend": Parameter(
        "auto",
        "What runs the network: tensorrt, inductor, openvino, onnx or eager; auto takes the best that is installed and "
        f"works, none runs the network as it was trained, without building an engine. {CONFIGURED}",
    ),
    "precision": Parameter("auto", f"fp32, fp16 or bf16; auto takes fp16 on a GPU and fp32 on a CPU. {CONFIGURED}"),
    "branch": Parameter(
        "ensemble",
        "Whose labels are published: ensemble, or rgb or depth, which runs that decoder alone and is faster. "
        f"{CONFIGURED}",
    ),
    "confidence": Parameter(
        False,
        "Whether the node can say how certain its labels are, on the topic confidence, in the points and for "
        f"min_confidence. It takes an engine of its own, which is used only where it is asked for. {CONFIGURED}",
    ),
    "engine_cache": Parameter(
        "",
        f"Folder where engines are kept once they are built; empty takes ~/.cache/cen_ros/engines. {CONFIGURED}",
    ),
    "rgb_transport": Parameter(
        "raw", f"raw images, or compressed ones (JPEG, PNG) from the topic's /compressed. {CONFIGURED}"
    ),
    "depth_transport": Parameter("raw", f"raw images, or PNG ones from the topic's /compressedDepth. {CONFIGURED}"),
    "reliability": Parameter(
        "best_effort",
        "Of the subscriptions to images: best_effort fits every publisher; reliable repeats what a network loses, and "
        f"hears nothing of best-effort publishers. {CONFIGURED}",
    ),
    "sync_slop": Parameter(
        0.05,
        f"Largest difference between the stamps of an RGB and a depth image that make a pair, in seconds. {AT_ONCE}",
        most=1.0,
    ),
    "stamp_offset": Parameter(
        0.0,
        "Seconds added to the stamps of depth images before they are paired, where the two streams' clocks differ; the "
        f"diagnostics measure it. No help against images that come late, which up to 2 s needs none. {AT_ONCE}",
        least=-1e10,
        most=1e10,
    ),
    "depth_timeout": Parameter(
        0.0,
        "Seconds without any depth image after which RGB images are labeled alone, by rgb_weights; 0 waits for depth "
        f"for ever, unless weights are for RGB alone. {CONFIGURED}",
        most=3600.0,
    ),
    "rgb_weights": Parameter(
        "",
        "Weights of a network for RGB alone, of the same classes, for images whose depth is missing; empty takes the "
        "RGB branch of weights, which is of use only if it was trained on images without depth too: what it exchanges "
        f"comes from depth. {CONFIGURED}",
    ),
    "label_encoding": Parameter("mono8", f"mono8 or 16SC1. {CONFIGURED}"),
    "label_size": Parameter(
        "rgb", f"Whose size the label images have: rgb or depth, which is registered to it. {CONFIGURED}"
    ),
    "min_confidence": Parameter(
        0.0,
        f"Pixels with a less probable label are published as 255, unlabeled; needs confidence: true. {AT_ONCE}",
        most=1.0,
    ),
    "unlabel_missing_depth": Parameter(
        False, f"Whether pixels without depth are published as 255, unlabeled. {AT_ONCE}"
    ),
    "points_color": Parameter(
        "camera", f"Color of the points: camera, or label for their class's, as Kimera wants it. {CONFIGURED}"
    ),
    "mask_classes": Parameter(
        [""], f'Names of the classes, or groups, that are white (255) on the topic mask; [] or [""] for none. {AT_ONCE}'
    ),
    "overlay_alpha": Parameter(
        0.5, f"Share of the class colors in the overlay, the rest is the camera's image. {AT_ONCE}", most=1.0
    ),
    "run_without_subscribers": Parameter(
        False, f"Whether the network runs while nobody listens to anything that it is for. {AT_ONCE}"
    ),
    "diagnostics_period": Parameter(1.0, f"Seconds between two diagnostics. {CONFIGURED}", least=0.1, most=3600.0),
    "autostart": Parameter(
        True, "Configure and activate at start; false leaves both to a lifecycle manager.", read_only=True
    ),
    **{
        f"topics.{name}": Parameter(topic, f"Name of the topic {name}; ~ is the node's own name. {CONFIGURED}")
        for name, topic in TOPICS.items()
    },
}


def declare(node: Node) -> None:
    """Declare every parameter. Raises rclpy's parameter exceptions where a given value has another type or range."""
    for name, parameter in PARAMETERS.items():
        declared(node, name, parameter.default, parameter.descriptor())


def values_of(node: Node) -> dict[str, Any]:
    """The declared parameters' present values."""
    return {name: node.get_parameter(name).value for name in PARAMETERS}


def with_defaults(changes: Sequence[RosParameter]) -> list[RosParameter]:
    """Return changes of parameters, of which those without a value are changes to the default."""
    return [
        RosParameter(change.name, value=PARAMETERS[change.name].default)
        if change.name in PARAMETERS and is_empty(change)
        else change
        for change in changes
    ]
