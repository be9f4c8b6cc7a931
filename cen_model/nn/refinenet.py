# SPDX-License-Identifier: Apache-2.0
"""RefineNet (Lin et al. 2017) and its light-weight form (Nekrasov et al. 2018), in the form the paper trains.

Axes: B batch (M·B for a modal network: nothing here knows), C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from cen_model.nn.convolutions import conv


class ResidualConvUnit(nn.Module):
    """r + conv(relu(conv(r))) with r = relu(x).

    The skip carries the rectified input, not x: the published networks were trained so, by way of an in-place ReLU.
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels, kernel_size, bias=True)
        self.conv2 = conv(channels, channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        return x + self.conv2(F.relu(self.conv1(x)))


class ChainedResidualPooling(nn.Module):
    """x plus a chain of (5×5 max pooling, convolution), each link fed by the one before."""

    def __init__(self, channels: int, kernel_size: int, stages: int = 4) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.convs = nn.ModuleList(conv(channels, channels, kernel_size) for _ in range(stages))

    def forward(self, x: Tensor) -> Tensor:
        top = x
        for convolution in self.convs:
            top = convolution(self.pool(top))
            x = x + top
        return x


class RefineLevel(nn.Module):
    """One level of the pyramid: reduce the encoder's feature, fuse the coarser level, pool, refine.

    Args:
        in_channels: of the encoder's feature.
        width: of this level.
        out_channels: of the result; None leaves out the last convolution (finest level).
        coarsest: there is nothing to fuse.
        kernel_size: 3, or 1 in the light-weight form, which has no residual units either.
    """

    def __init__(
        self, in_channels: int, width: int, out_channels: int | None, coarsest: bool, kernel_size: int
    ) -> None:
        super().__init__()
        adapt, refine = (2, 3) if kernel_size > 1 else (0, 0)
        self.reduce = conv(in_channels, width, kernel_size)
        self.adapt = nn.Sequential(*(ResidualConvUnit(width, kernel_size) for _ in range(adapt)))
        self.joint = None if coarsest else conv(width, width, kernel_size)
        self.pool = ChainedResidualPooling(width, kernel_size)
        self.refine = nn.Sequential(*(ResidualConvUnit(width, kernel_size) for _ in range(refine)))
        self.out = conv(width, out_channels, kernel_size) if out_channels else nn.Identity()

    def forward(self, feature: Tensor, coarser: Tensor | None) -> Tensor:
        x = self.adapt(self.reduce(feature))
        if coarser is not None:
            upsampled = F.interpolate(coarser, size=feature.shape[-2:], mode="bilinear", align_corners=True)
            x = self.joint(x) + upsampled
        return self.out(self.refine(self.pool(F.relu(x))))


class RefineNet(nn.Module):
    """Features of four stages → logits at the finest stage's resolution.

    Args:
        channels: of the encoder's stages, finest first.
        num_classes: K.
        width: channels of the pyramid; the coarsest level has twice as many.
        kernel_size: 3 (RefineNet) or 1 (light-weight RefineNet).
        dropout: on the two coarsest features and before the classifier, while training.
    """

    def __init__(
        self, channels: Sequence[int], num_classes: int, width: int = 256, kernel_size: int = 3, dropout: float = 0.5
    ) -> None:
        super().__init__()
        finest, *middle, coarsest = channels
        self.levels = nn.ModuleList([RefineLevel(coarsest, 2 * width, width, True, kernel_size)])
        self.levels.extend(RefineLevel(c, width, width, False, kernel_size) for c in reversed(middle))
        self.levels.append(RefineLevel(finest, width, None, False, kernel_size))
        self.dropout = nn.Dropout(dropout)
        self.classifier = conv(width, num_classes, 3, bias=True)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Features (B, C_s, H/s, W/s), finest first → logits (B, K, H/4, W/4)."""
        *finer, coarse, coarsest = features
        pyramid = [self.dropout(coarsest), self.dropout(coarse), *reversed(finer)]
        x = None
        for level, feature in zip(self.levels, pyramid, strict=True):
            x = level(feature, x)
        return self.classifier(self.dropout(x))
