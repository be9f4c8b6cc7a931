# SPDX-License-Identifier: Apache-2.0
"""A frame as a robot with a broken sensor has it."""

from __future__ import annotations

import torch
from torch import Tensor

from cen_model.modalities import IMAGENET_MEAN

NEUTRAL_RGB = tuple(round(255 * mean) for mean in IMAGENET_MEAN)
"""What is 0 after normalisation, as near as bytes come to it."""


def without(name: str, image_BCHW: Tensor) -> Tensor:
    """Raw values that say nothing: depth has holes only (0 m), colour is ImageNet's mean, all else is mid-grey.

    All of them become 0 at the network's entrance, or as good as that.
    """
    if name == "depth":
        return torch.zeros_like(image_BCHW)
    values = NEUTRAL_RGB if name == "rgb" else [127.5] * image_BCHW.shape[1]
    neutral = torch.tensor(values, device=image_BCHW.device).view(1, -1, 1, 1)
    return neutral.expand(image_BCHW.shape)
