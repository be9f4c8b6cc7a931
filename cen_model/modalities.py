# SPDX-License-Identifier: Apache-2.0
"""What a modality is: its channels, and how raw sensor values become the network's input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cen_model.config import NormalizationConfig
from cen_model.utils.validation import look_up

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

DEPTH_UNITS, MAX_LOG_DEPTH = 512, 11.1
"""Of Taskonomy's 16-bit depth: units a meter, and the greatest log(1 + units)."""


def _8bit_to_image(image: Tensor) -> Tensor:
    """[0, 255] → [-1, 1]."""
    return image.float() / 127.5 - 1


def image_to_8bit(image: Tensor) -> Tensor:
    """[-1, 1] → uint8."""
    return ((image + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class Modality:
    """A kind of image.

    Attributes:
        channels: of one image.
        normalization: of a segmentation network that has no other one of its own.
        to_image: raw → float32 in [-1, 1], for translation.
        from_image: its inverse.
    """

    channels: int
    normalization: NormalizationConfig
    to_image: Callable[[Tensor], Tensor] = _8bit_to_image
    from_image: Callable[[Tensor], Tensor] = image_to_8bit


def _without_holes(depth: Tensor) -> Tensor:
    """Meters as they are (the published code's input); a hole (0, negative, NaN, inf) is exactly 0 m.

    No sensor measures 0 m, so the network can tell a hole from every surface.
    """
    depth = depth.float()
    return torch.where(torch.isfinite(depth) & (depth > 0), depth, 0.0)


def _depth_to_image(depth: Tensor) -> Tensor:
    """Meters → [-1, 1], logarithmically, as the published code encodes Taskonomy's depth; a hole is -1.

    1 is 129 m, and all that is farther.
    """
    return (torch.log1p(_without_holes(depth) * DEPTH_UNITS) / MAX_LOG_DEPTH * 2 - 1).clamp(max=1)


def _image_to_depth(image: Tensor) -> Tensor:
    return torch.expm1((image.clamp(-1, 1) + 1) / 2 * MAX_LOG_DEPTH) / DEPTH_UNITS


_TO_1 = NormalizationConfig(mean=(0.5,), std=(0.5,), scale=255)
_8BIT_IN_COLOR, _8BIT = Modality(3, _TO_1), Modality(1, _TO_1)
_METERS = Modality(1, NormalizationConfig(), _depth_to_image, _image_to_depth)

MODALITIES = {
    "rgb": Modality(3, NormalizationConfig(IMAGENET_MEAN, IMAGENET_STD, scale=255)),
    "depth": _METERS,
    # 8-bit images, as in Taskonomy.
    "normal": _8BIT_IN_COLOR,
    "shade": _8BIT,
    "texture": _8BIT,
    "edge": _8BIT,
    "curvature": _8BIT_IN_COLOR,
    "segment2d": _8BIT_IN_COLOR,
    "segment25d": _8BIT_IN_COLOR,
    # Horizontal disparity, height above ground, angle with gravity (Gupta et al. 2014).
    "hha": _8BIT_IN_COLOR,
    # Along the optical axis, where `depth` is along the ray (Taskonomy has both).
    "zbuffer": _METERS,
}

IN_METERS = ("depth", "zbuffer")
"""Raw values of these are depths, of all others 8 bits."""


def modality(name: str) -> Modality:
    """Look a modality up. Raises ValueError that lists the nearest ones."""
    return look_up("modality", name, MODALITIES)


def normalize(name: str, raw: Tensor, network: Mapping[str, NormalizationConfig] | None = None) -> Tensor:
    """Turn raw values of a modality into the float32 input of a segmentation network, of the same shape.

    Args:
        raw: (..., C, H, W), depth in meters, all others in [0, 255]. A hole of depth becomes what 0 m becomes.
        network: the network's own normalization; a modality that it does not name has the usual one.
    """
    config = (network or {}).get(name, modality(name).normalization)
    image = _without_holes(raw) if name in IN_METERS else raw.float()
    if config.order == "bgr":
        image = torch.cat(image.split(1, dim=-3)[::-1], dim=-3)  # every backend knows it, unlike a flip
    if (config.mean, config.std, config.scale) == ((0.0,), (1.0,), 1.0):
        return image
    mean, std = (torch.tensor(each, device=raw.device).view(-1, 1, 1) for each in (config.mean, config.std))
    return (image - mean * config.scale) / (std * config.scale)


def check_normalization(network: Mapping[str, NormalizationConfig], modalities: Sequence[str]) -> None:
    """Raise ValueError unless a network's normalization is of its modalities, and has values for their channels."""
    for name, config in network.items():
        if name not in modalities:
            raise ValueError(f"normalization: {name!r} is none of the network's modalities ({', '.join(modalities)})")
        channels = modality(name).channels
        for key in ("mean", "std"):
            count = len(getattr(config, key))
            if count not in (1, channels):
                raise ValueError(f"normalization.{name}.{key}: expected 1 or {channels} values, got {count}")
        if config.order == "bgr" and channels != 3:
            raise ValueError(f"normalization.{name}.order: 'bgr' is for three channels, and {name} has {channels}")


def to_image(name: str, raw: Tensor) -> Tensor:
    """Raw values of the named modality → float32 image in [-1, 1]: what translation takes and makes (§ 4.2)."""
    return modality(name).to_image(raw)


def measured(name: str, image: Tensor) -> Tensor:
    """Which values of a `to_image` were measured, as bool of its shape: of depth all but the holes, which are -1."""
    return image > -1 if name in IN_METERS else torch.ones_like(image, dtype=torch.bool)


def from_image(name: str, image: Tensor) -> Tensor:
    """The inverse of `to_image`: depth in meters, all others uint8."""
    return modality(name).from_image(image)
