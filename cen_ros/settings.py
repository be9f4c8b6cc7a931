# SPDX-License-Identifier: Apache-2.0
"""Parameter values, checked and in the form that they are used in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cen_model.names import look_up
from cen_ros.parameters import TOPICS

CHOICES = {
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
        device: None chooses by itself.
        size: (height, width) that the network works at; None leaves it to the weights.
        image_size: (height, width) of the camera's images, which the node makes itself ready for.
        engine_cache: folder of the engines; None takes the one in the user's cache folder.
        depth_timeout: seconds; 0 never gives up depth.
        topics: names of what is published, by what it is.
    """

    weights: str
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
        ValueError: a value that cannot be used, with the parameter's name, what it may be and what it is.
    """
    for name, choices in CHOICES.items():
        look_up(f"parameter {name}: value", values[name], dict.fromkeys(choices))
    size = _size(values, "input_size", or_nothing=True)
    if values["min_confidence"] > 0 and not values["confidence"]:
        raise ValueError("parameter min_confidence: expected 0 where confidence is false; set confidence: true")
    for name in TOPICS:
        if not values[f"topics.{name}"]:
            raise ValueError(f"parameter topics.{name}: expected the name of a topic, got an empty one")
    return Settings(
        **{field.name: values[field.name] for field in fields(Settings) if field.name not in _CONVERTED},
        device=values["device"] or None,
        size=size if size != (0, 0) else None,
        image_size=_size(values, "image_size"),
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


def _size(values: Mapping[str, Any], name: str, or_nothing: bool = False) -> tuple[int, ...]:
    size = tuple(values[name])
    if len(size) == 2 and (min(size) > 0 or (or_nothing and size == (0, 0))):
        return size
    expected = "[height, width] in pixels" + (" or [0, 0]" if or_nothing else "")
    raise ValueError(f"parameter {name}: expected {expected}, got {list(size)}")
