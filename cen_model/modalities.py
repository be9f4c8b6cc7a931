# SPDX-License-Identifier: Apache-2.0
"""What a modality is: its channels, and how raw sensor values become the network's input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cen_model.utils.validation import look_up

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

DEPTH_UNITS, MAX_LOG_DEPTH = 512, 11.1
"""Of Taskonomy's 16-bit depth: units a meter, and the greatest log(1 + units)."""


def _normalize_8bit(image: Tensor) -> Tensor:
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
        normalize: raw (..., channels, H, W) → float32 network input of the same shape.
        to_image: raw → float32 in [-1, 1], for translation.
        from_image: its inverse.
    """

    channels: int
    normalize: Callable[[Tensor], Tensor]
    to_image: Callable[[Tensor], Tensor] = _normalize_8bit
    from_image: Callable[[Tensor], Tensor] = image_to_8bit


def _normalize_rgb(rgb: Tensor) -> Tensor:
    """[0, 255] → ImageNet's mean and deviation."""
    mean = torch.tensor(IMAGENET_MEAN, device=rgb.device).view(3, 1, 1) * 255
    std = torch.tensor(IMAGENET_STD, device=rgb.device).view(3, 1, 1) * 255
    return (rgb.float() - mean) / std


def _normalize_depth(depth: Tensor) -> Tensor:
    """Meters as they are (the published code's input); a hole (0, negative, NaN, inf) is exactly 0 m.

    No sensor measures 0 m, so the network can tell a hole from every surface.
    """
    depth = depth.float()
    return torch.where(torch.isfinite(depth) & (depth > 0), depth, 0.0)


def _depth_to_image(depth: Tensor) -> Tensor:
    """Meters → [-1, 1], logarithmically, as the published code encodes Taskonomy's depth; a hole is -1.

    1 is 129 m, and all that is farther.
    """
    return (torch.log1p(_normalize_depth(depth) * DEPTH_UNITS) / MAX_LOG_DEPTH * 2 - 1).clamp(max=1)


def _image_to_depth(image: Tensor) -> Tensor:
    return torch.expm1((image.clamp(-1, 1) + 1) / 2 * MAX_LOG_DEPTH) / DEPTH_UNITS


_8BIT_IN_COLOR, _8BIT = Modality(3, _normalize_8bit), Modality(1, _normalize_8bit)

MODALITIES = {
    "rgb": Modality(3, _normalize_rgb),
    "depth": Modality(1, _normalize_depth, _depth_to_image, _image_to_depth),
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
    "zbuffer": Modality(1, _normalize_depth, _depth_to_image, _image_to_depth),
}

IN_METERS = ("depth", "zbuffer")
"""Raw values of these are depths, of all others 8 bits."""


def modality(name: str) -> Modality:
    """Look a modality up. Raises ValueError that lists the nearest ones."""
    return look_up("modality", name, MODALITIES)


def normalize(name: str, image: Tensor) -> Tensor:
    """Raw values of the named modality → float32 input of segmentation: depth in meters, all others in [0, 255]."""
    return modality(name).normalize(image)


def to_image(name: str, raw: Tensor) -> Tensor:
    """Raw values of the named modality → float32 image in [-1, 1]: what translation takes and makes (§ 4.2)."""
    return modality(name).to_image(raw)


def measured(name: str, image: Tensor) -> Tensor:
    """Which values of a `to_image` were measured, as bool of its shape: of depth all but the holes, which are -1."""
    return image > -1 if name in IN_METERS else torch.ones_like(image, dtype=torch.bool)


def from_image(name: str, image: Tensor) -> Tensor:
    """The inverse of `to_image`: depth in meters, all others uint8."""
    return modality(name).from_image(image)
