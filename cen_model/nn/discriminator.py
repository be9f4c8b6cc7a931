# SPDX-License-Identifier: Apache-2.0
"""The 70×70 PatchGAN discriminator of pix2pix (Isola et al. 2017), shared by all modalities.

Axes: M modalities, B batch, C channels, H W pixels, h w patches.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cen_model.nn.unet import InstanceNorm, initialize

_MULTIPLES = (1, 2, 4, 8)
_STRIDES = (2, 2, 2, 1)


class Discriminator(nn.Module):
    """Tells real images from generated ones, given an input image; one answer for every 70×70 patch.

    Args:
        condition_channels: of the (broadened) input image.
        image_channels: of the image that is judged.
        filters: channels after the first convolution.
    """

    def __init__(self, condition_channels: int, image_channels: int, filters: int = 64) -> None:
        super().__init__()
        self.condition_channels = condition_channels
        channels = [condition_channels + image_channels, *(filters * multiple for multiple in _MULTIPLES)]
        self.convs = nn.ModuleList(
            nn.Conv2d(channels[i], channels[i + 1], 4, stride, padding=1) for i, stride in enumerate(_STRIDES)
        )
        self.norms = nn.ModuleList(InstanceNorm(c) for c in channels[2:])
        self.classifier = nn.Conv2d(channels[-1], 1, 4, padding=1)
        self.apply(initialize)

    def forward(self, condition: Tensor, image: Tensor) -> Tensor:
        """Stacked images (M·B, C, H, W) in [-1, 1] → logits (M·B, 1, h, w), positive for "real"."""
        x = self.convs[0](torch.cat([condition, image], dim=1))
        for conv, norm in zip(self.convs[1:], self.norms, strict=True):
            x = norm(conv(F.leaky_relu(x, 0.2)))
        return self.classifier(F.leaky_relu(x, 0.2))
