# SPDX-License-Identifier: Apache-2.0
"""Lite R-ASPP (Howard et al. 2019) with a skip from every stage: the decoder for encoders of linear bottlenecks.

Features of such encoders are linear already and many times larger than a ResNet's: a class is read off them by one 1×1
convolution, which learns faster than a pyramid of further layers and costs a fraction of it.

Axes: B batch (M·B for a modal network: nothing here knows), C channels, K classes, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from cen_model.nn.convolutions import conv_norm_relu


class LiteRASPP(nn.Module):
    """Features of four stages → logits at the finest stage's resolution.

    The coarsest features, weighted channel by channel by what the whole image shows, meet those of the stage before;
    their logits are summed with the finer stages' own.

    Args:
        channels: of the encoder's stages, finest first.
        num_classes: K.
        width: channels of the two coarsest stages.
        dropout: before their classifier, while training.
    """

    def __init__(self, channels: Sequence[int], num_classes: int, width: int = 128, dropout: float = 0.1) -> None:
        super().__init__()
        *finer, coarse, coarsest = channels
        self.coarsest = conv_norm_relu(coarsest, width, 1)
        self.gate = nn.Conv2d(coarsest, width, 1, bias=False)
        self.coarse = conv_norm_relu(coarse, width, 1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(width, num_classes, 1)
        self.skips = nn.ModuleList(nn.Conv2d(c, num_classes, 1) for c in finer)
        for skip in self.skips:  # of features this large, random filters would make a loss of ten times a guess's
            nn.init.zeros_(skip.weight)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Features (B, C_s, H/s, W/s), finest first → logits (B, K, H/4, W/4)."""
        *finer, coarse, coarsest = features
        weights = F.adaptive_avg_pool2d(coarsest, 1)
        seen = self.coarsest(coarsest) * self.gate(weights).sigmoid()
        logits = self.classifier(self.dropout(_resized(seen, coarse) + self.coarse(coarse)))
        for skip, feature in zip(reversed(self.skips), reversed(finer), strict=True):
            logits = _resized(logits, feature) + skip(feature)
        return logits


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
