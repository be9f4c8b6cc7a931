# SPDX-License-Identifier: Apache-2.0
"""The U-Net-256 generator of pix2pix (Isola et al. 2017) with InstanceNorm (paper § 4.2 and appendix B).

Axes: B batch (M·B for a modal network: nothing here knows), C channels, H W pixels, multiples of 256.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Channels of the eight levels, in base filters.
_MULTIPLES = (1, 2, 4, 8, 8, 8, 8, 8)
_LEAK = 0.2
MULTIPLE = 2 ** len(_MULTIPLES)
"""Of the height and width of images: every level halves them, and the decoder doubles them again."""


class InstanceNorm(nn.InstanceNorm2d):
    """Instance normalization that uses each image's own statistics in evaluation, too.

    The running statistics are kept, as in the published checkpoints, and used in evaluation on demand:
    `use_running_statistics`.

    A feature of one pixel, which the 8th convolution makes of a 256×256 image, has no deviation, and PyTorch refuses to
    normalize it. Yet the paper has scaling factors, and exchange, after all eight convolutions (appendix B; its
    published code leaves the 1st and the 8th without). So such a feature is only scaled and shifted, γ·x + β, and γ
    still decides its exchange.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=True, track_running_stats=True)
        self.use_running_statistics = False

    def forward(self, x: Tensor) -> Tensor:
        use_input = self.training or not self.use_running_statistics
        if use_input and x.shape[-2:] == (1, 1):
            return x if self.weight is None else x * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)
        # In evaluation with the image's own statistics the running ones must neither be used nor updated.
        tracked = self.training or self.use_running_statistics
        mean, var = (self.running_mean, self.running_var) if tracked else (None, None)
        return F.instance_norm(x, mean, var, self.weight, self.bias, use_input, self.momentum, self.eps)


class Down(nn.Module):
    """(LeakyReLU) → 4×4 convolution with stride 2 → (norm)."""

    def __init__(self, in_channels: int, out_channels: int, first: bool, normalized: bool) -> None:
        super().__init__()
        self.first, self.normalized = first, normalized
        self.conv = nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1)
        self.norm = InstanceNorm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        if self.first and (x.shape[-2] % MULTIPLE or x.shape[-1] % MULTIPLE):
            height, width = x.shape[-2:]
            raise ValueError(
                f"the U-Net takes images whose sides are multiples of {MULTIPLE} pixels, got {height}×{width}; "
                "resize them, as cen_model.translator.Translator does"
            )
        x = self.conv(x if self.first else F.leaky_relu(x, _LEAK))
        return self.norm(x) if self.normalized else x


class Up(nn.Module):
    """ReLU → 4×4 transposed convolution with stride 2 → (norm) → (dropout)."""

    def __init__(self, in_channels: int, out_channels: int, normalized: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1)
        self.norm = InstanceNorm(out_channels) if normalized else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.norm(self.conv(F.relu(x))))


class UNetEncoder(nn.Module):
    """Eight convolutions, each halving the resolution. The first raises ValueError on images of other sizes than
    multiples of `MULTIPLE` pixels.

    Args:
        in_channels: of the (broadened) images.
        filters: channels after the first convolution; the last have eight times as many.
        normalized: "all" norms every convolution. "inner" leaves out the first and the last, whose norms exist
            nevertheless: the published code has them under its sparsity penalty, but lets nothing pass through them.

    Attributes:
        stages: the eight blocks.
        channels: of each stage's features.
    """

    def __init__(self, in_channels: int, filters: int, normalized: Literal["all", "inner"] = "all") -> None:
        super().__init__()
        self.channels = tuple(filters * multiple for multiple in _MULTIPLES)
        last = len(_MULTIPLES) - 1
        self.stages = nn.ModuleList(
            Down(
                self.channels[i - 1] if i else in_channels,
                self.channels[i],
                first=i == 0,
                normalized=normalized == "all" or 0 < i < last,
            )
            for i in range(last + 1)
        )
        self.apply(initialize)


class UNetDecoder(nn.Module):
    """Features of the eight stages → an image, with skip connections.

    Args:
        channels: of the stages, finest first.
        out_channels: of the image.
        dropout: in the first three blocks, while training.
    """

    def __init__(self, channels: Sequence[int], out_channels: int, dropout: float = 0.5) -> None:
        super().__init__()
        *skips, coarsest = channels
        in_channels, blocks = coarsest, []
        for i, skip in enumerate(reversed(skips)):
            blocks.append(Up(in_channels, skip, dropout=dropout if i < 3 else 0.0))
            in_channels = 2 * skip
        self.blocks = nn.ModuleList([*blocks, Up(in_channels, out_channels, normalized=False)])
        self.apply(initialize)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Features, finest first → image (B, out_channels, H, W) in [-1, 1]."""
        *skips, x = features
        for block, skip in zip(self.blocks[:-1], reversed(skips), strict=True):
            x = torch.cat([block(x), skip], dim=1)
        return self.blocks[-1](x).tanh()


def initialize(module: nn.Module) -> None:
    """pix2pix's start: convolutions from N(0, 0.02²). For `nn.Module.apply`."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
