# SPDX-License-Identifier: Apache-2.0
"""The fusion baselines (paper § 4.1 and appendix B): blocks, and where they stand between an encoder's stages.

Axes: M modalities, B batch, C channels, H W pixels; a stacked tensor is (M·B, C, H, W), modality-major.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from cen_model.config import FusionConfig
from cen_model.nn.alignment import Align
from cen_model.nn.modal import split, stack


class Concat(nn.Module):
    """Concatenation and a 1×1 convolution back to C channels (M C² weights)."""

    def __init__(self, modalities: int, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(modalities * channels, channels, 1, bias=False)

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        """M features (B, C, H, W) → (B, C, H, W)."""
        return self.reduce(torch.cat(tuple(parts), dim=1))


class Average(nn.Module):
    """The mean of the modalities."""

    def __init__(self, modalities: int, channels: int) -> None:
        super().__init__()

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        """M features (B, C, H, W) → (B, C, H, W)."""
        return sum(parts) / len(parts)


class SelfAttention(nn.Module):
    """SSMA (Valada et al. 2019): the concatenation gates itself through a bottleneck of C/η channels, η = 16.

    Args:
        modalities: M.
        channels: C.
        reduction: η.
        norm: makes the norm of C channels at its end.
    """

    def __init__(
        self,
        modalities: int,
        channels: int,
        reduction: int = 16,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        wide, narrow = modalities * channels, max(1, channels // reduction)
        self.gate = nn.Sequential(
            nn.Conv2d(wide, narrow, 3, padding=1), nn.ReLU(), nn.Conv2d(narrow, wide, 3, padding=1), nn.Sigmoid()
        )
        self.fuse = nn.Sequential(nn.Conv2d(wide, channels, 3, padding=1, bias=False), norm(channels))

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        """M features (B, C, H, W) → (B, C, H, W)."""
        x = torch.cat(tuple(parts), dim=1)
        return self.fuse(x * self.gate(x))


BLOCKS = {"concat": Concat, "average": Average, "attention": SelfAttention}


class StagedFusion(nn.Module):
    """Runs the stages of an encoder and fuses the modalities after some of them.

    With `streams="kept"` a fused feature goes on as the first modality's stream, and the others go on as they are: one
    block a point, as Table 2 counts, where depth's own accuracy does not profit from it. With "merged" all streams run
    up to the last point and one from there on; before it the decoder is given fused features, or the modalities' mean
    where none are fused. "align" leaves all features as they are and adds a loss while training.

    Args:
        config: method and kind of streams.
        modalities: M.
        channels: of the encoder's stages.
        points: the stages, counted from 0, after which is fused.
        norm: makes the norms of blocks that have one, for a number of channels; of the encoder's kind.
    """

    def __init__(
        self,
        config: FusionConfig,
        modalities: int,
        channels: Sequence[int],
        points: Iterable[int],
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        self.modalities = modalities
        points = sorted(points)
        self.last_with_streams = points[-1] if config.streams == "merged" else None
        if config.method == "align":
            self.alignments = nn.ModuleDict({str(i): Align(channels[i]) for i in points})
            self.blocks = nn.ModuleDict()
        else:
            make = partial(SelfAttention, norm=norm) if config.method == "attention" else BLOCKS[config.method]
            self.alignments = nn.ModuleDict()
            self.blocks = nn.ModuleDict({str(i): make(modalities, channels[i]) for i in points})

    def forward(self, stages: Iterable[nn.Module], x: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """Stacked images → the decoder's features, finest first, and the alignment loss (None in evaluation)."""
        features, alignments = [], []
        for i, stage in enumerate(stages):
            x = stage(x)
            if self.training and str(i) in self.alignments:
                alignments.append(self.alignments[str(i)](split(x, self.modalities)))
            if self.last_with_streams is None:
                x = self._kept(i, x)
                features.append(x)
            else:
                feature, x = self._merged(i, x)
                features.append(feature)
        return features, sum(alignments) if alignments else None

    def _kept(self, i: int, x: Tensor) -> Tensor:
        if str(i) not in self.blocks:
            return x
        parts = split(x, self.modalities)
        return stack([self.blocks[str(i)](parts), *parts[1:]])

    def _merged(self, i: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the decoder is given of stage i, and what the next stage is."""
        if i > self.last_with_streams:
            return x, x
        parts = split(x, self.modalities)
        feature = self.blocks[str(i)](parts) if str(i) in self.blocks else sum(parts) / len(parts)
        return feature, feature if i == self.last_with_streams else x
