# SPDX-License-Identifier: Apache-2.0
"""Parameter values, checked and in the form that they are used in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rclpy.exceptions import InvalidTopicNameException
from rclpy.validate_topic_name import validate_topic_name

from cen_model.utils.validation import unknown
from cen_ros.segmentation.parameters import TOPICS

CHOICES = {
    # Those of cen_model.deploy, whose import would take seconds.
    "backend": ("auto", "none", "tensorrt", "inductor", "openvino", "onnx", "eager"),
    "precision": ("auto", "fp32", "fp16", "bf16"),
    "branch": ("ensemble", "rgb", "depth"),
    "rgb_transport": ("raw", "compressed"),
    "depth_transport": ("raw", "compressedDepth"),
    "reliability": ("best_effort", "reliable"),
    "label_encoding": ("mono8", "16SC1"),
    "label_size": ("rgb", "depth"),
    "points_color": ("camera", "label"),
}


@dataclass(frozen=True)
class Settings:
    """Parameter values in the form that they are used in, for as long as the node is configured.

    Attributes:
        label_groups: a file or a name; empty leaves the classes of the weights.
        device: None chooses by itself.
        size: (height, width) that the network works at; None leaves it to the weights.
        image_size: (height, width) of the camera's images, which the node makes itself ready for.
        engine_cache: folder of the engines; None takes the one in the user's cache folder.
        depth_timeout: seconds; 0 never gives up depth.
        topics: names of what is published, by what it is.
    """

    weights: str
    label_groups: str
    device: str | None
    size: tuple[int, int] | None
    image_size: tuple[int, int]
    backend: str
    precision: str
    branch: str
    confidence: bool
    engine_cache: Path | None
    rgb_transport: str
    depth_transport: str
    reliability: str
    depth_timeout: float
    rgb_weights: str
    label_encoding: str
    label_size: str
    points_color: str
    diagnostics_period: float
    topics: Mapping[str, str]


@dataclass(frozen=True)
class Live:
    """Those values that may change at any time; a change replaces them all at once.

    Attributes:
        slop_ns: largest difference of two stamps in a pair, nanoseconds.
        offset_ns: what is added to the stamps of depth, nanoseconds.
        mask_classes: names.
    """

    slop_ns: int
    offset_ns: int
    min_confidence: float
    unlabel_missing_depth: bool
    mask_classes: tuple[str, ...]
    overlay_alpha: float
    run_without_subscribers: bool


_CONVERTED = ("device", "size", "image_size", "engine_cache", "topics")


def settings(values: Mapping[str, Any]) -> Settings:
    """Those values that hold while the node is configured.

    Raises:
        ValueError: values that cannot be used, with their names, what they may be and what they are.
    """
    if wrong := problems(values):
        raise ValueError("; ".join(wrong))
    size = tuple(values["input_size"])
    return Settings(
        **{field.name: values[field.name] for field in fields(Settings) if field.name not in _CONVERTED},
        device=values["device"] or None,
        size=size if size != (0, 0) else None,
        image_size=tuple(values["image_size"]),
        engine_cache=Path(values["engine_cache"]).expanduser() if values["engine_cache"] else None,
        topics={name: values[f"topics.{name}"] for name in TOPICS},
    )


def live(values: Mapping[str, Any]) -> Live:
    """Those values that may change at any time."""
    return Live(
        slop_ns=round(values["sync_slop"] * 1e9),
        offset_ns=round(values["stamp_offset"] * 1e9),
        min_confidence=values["min_confidence"],
        unlabel_missing_depth=values["unlabel_missing_depth"],
        mask_classes=tuple(name for name in values["mask_classes"] if name),
        overlay_alpha=values["overlay_alpha"],
        run_without_subscribers=values["run_without_subscribers"],
    )


def problems(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with values, one line each."""
    wrong = [_size(values, "image_size", "two positive numbers", lambda size: min(size) > 0)]
    wrong += [
        _size(values, "input_size", "two positive numbers or [0, 0]", lambda size: min(size) > 0 or not any(size))
    ]
    wrong += [_choice(name, values[name], choices) for name, choices in CHOICES.items()]
    wrong += [_topic(f"topics.{name}", values[f"topics.{name}"]) for name in TOPICS]
    if values["min_confidence"] > 0 and not values["confidence"]:
        wrong.append("parameter min_confidence: expected 0 where confidence is false; set confidence: true")
    return [each for each in wrong if each]


def _choice(name: str, value: str, choices: tuple[str, ...]) -> str | None:
    return None if value in choices else f"parameter {name}: {unknown('value', value, choices)}"


def _topic(name: str, topic: str) -> str | None:
    try:
        validate_topic_name(topic)
    except InvalidTopicNameException as error:
        return f"parameter {name}: expected the name of a topic, got {topic!r}: {str(error).splitlines()[0]}"
    return None


def _size(values: Mapping[str, Any], name: str, expected: str, good: Callable[[Any], bool]) -> str | None:
    size = list(values[name])
    if len(size) == 2 and min(size) >= 0 and good(size):
        return None
    return f"parameter {name}: expected [height, width] in pixels, {expected}, got {size}"
