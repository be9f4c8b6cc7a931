# SPDX-License-Identifier: Apache-2.0
"""What a modality is: its channels, and how raw sensor values become the network's input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cen_model.names import look_up

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Modality:
    """A kind of image.

    Attributes:
        channels: of one image.
        normalise: raw (..., channels, H, W) → float32 network input of the same shape.
    """

    channels: int
    normalise: Callable[[Tensor], Tensor]


def _normalise_rgb(rgb: Tensor) -> Tensor:
    """[0, 255] → ImageNet's mean and deviation."""
    mean = torch.tensor(IMAGENET_MEAN, device=rgb.device).view(3, 1, 1) * 255
    std = torch.tensor(IMAGENET_STD, device=rgb.device).view(3, 1, 1) * 255
    return (rgb.float() - mean) / std


def _normalise_depth(depth: Tensor) -> Tensor:
    """Metres as they are (the published code's input); a hole (0, negative, NaN, inf) is exactly 0 m.

    No sensor measures 0 m, so the network can tell a hole from every surface.
    """
    depth = depth.float()
    return torch.where(torch.isfinite(depth) & (depth > 0), depth, 0.0)


def _normalise_8bit(image: Tensor) -> Tensor:
    """[0, 255] → [-1, 1]."""
    return image.float() / 127.5 - 1


MODALITIES = {
    "rgb": Modality(3, _normalise_rgb),
    "depth": Modality(1, _normalise_depth),
    # 8-bit images, as in Taskonomy.
    "normal": Modality(3, _normalise_8bit),
    "shade": Modality(1, _normalise_8bit),
    "texture": Modality(1, _normalise_8bit),
    "edge": Modality(1, _normalise_8bit),
    "curvature": Modality(3, _normalise_8bit),
}


def modality(name: str) -> Modality:
    """Look a modality up. Raises ValueError that lists the nearest ones."""
    return look_up("modality", name, MODALITIES)


def normalise(name: str, image: Tensor) -> Tensor:
    """Raw values of the named modality → float32 network input: depth in metres, all others in [0, 255]."""
    return modality(name).normalise(image)
