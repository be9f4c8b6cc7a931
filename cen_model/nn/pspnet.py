# SPDX-License-Identifier: Apache-2.0
"""PSPNet's pyramid pooling (Zhao et al. 2017) on a dilated encoder.

Axes: B batch (M·B for a modal network: nothing here knows), C channels, K classes, h w the encoder's resolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cen_model.nn.convolutions import conv_norm_relu

BINS = (1, 2, 3, 6)


class PyramidPooling(nn.Module):
    """The feature beside its averages over 1×1, 2×2, 3×3 and 6×6 bins: C channels → 2 C."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(conv_norm_relu(channels, channels // len(BINS), 1) for _ in BINS)

    def forward(self, x: Tensor) -> Tensor:
        pooled = [branch(F.adaptive_avg_pool2d(x, size)) for branch, size in zip(self.branches, BINS, strict=True)]
        size = x.shape[-2:]
        return torch.cat(
            [x, *(F.interpolate(p, size=size, mode="bilinear", align_corners=True) for p in pooled)], dim=1
        )


class PSPNet(nn.Module):
    """Features of a dilated encoder → logits at its output stride.

    While training, every norm needs at least two images, unless its statistics are frozen: after the 1×1 bin there is
    one value per image and channel, and PyTorch raises ValueError.

    Args:
        channels: of the encoder's stages; the last one is pooled, the one before feeds the auxiliary head.
        num_classes: K.
        width: channels of the features before the classifier.
        dropout: before the two classifiers, while training.
    """

    def __init__(self, channels: Sequence[int], num_classes: int, width: int = 512, dropout: float = 0.1) -> None:
        super().__init__()
        *_, third, last = channels
        self.pyramid = PyramidPooling(last)
        pyramid_channels = last + len(BINS) * (last // len(BINS))
        self.head = nn.Sequential(conv_norm_relu(pyramid_channels, width, 3), nn.Dropout(dropout))
        self.classifier = nn.Conv2d(width, num_classes, 1)
        self.auxiliary_head = nn.Sequential(
            conv_norm_relu(third, max(1, third // 4), 3),
            nn.Dropout(dropout),
            nn.Conv2d(max(1, third // 4), num_classes, 1),
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Features, finest first → logits (B, K, h, w)."""
        return self.classifier(self.head(self.pyramid(features[-1])))

    def auxiliary(self, features: Sequence[Tensor]) -> Tensor:
        """Logits (B, K, h, w) of the auxiliary loss, from the last feature but one."""
        return self.auxiliary_head(features[-2])
