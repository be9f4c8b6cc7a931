# SPDX-License-Identifier: Apache-2.0
"""Private layers on modality-major batches, the layers that know how many modalities there are.

Modalities are stacked along the batch axis, so that every shared layer is an ordinary layer that sees a larger batch.

Axes: M modalities, B batch, C channels, H W pixels; a stacked tensor is (M·B, C, H, W), modality-major.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def broaden(inputs: Sequence[Tensor], channels: int | None = None) -> list[Tensor]:
    """Repeat the channels of each (B, C_m, H, W) up to `channels` (paper, footnote 3).

    Args:
        channels: None takes the least common multiple of all C_m.

    Raises:
        ValueError: an input's channels do not divide `channels`.
    """
    channels = channels or math.lcm(*(x.shape[1] for x in inputs))
    for x in inputs:
        if channels % x.shape[1]:
            raise ValueError(f"the network takes {channels} channels; {x.shape[1]} cannot be repeated up to that")
    return [x if x.shape[1] == channels else x.repeat(1, channels // x.shape[1], 1, 1) for x in inputs]


def stack(inputs: Sequence[Tensor]) -> Tensor:
    """M tensors (B, C, H, W) → one (M·B, C, H, W)."""
    return torch.cat(tuple(inputs)) if len(inputs) > 1 else inputs[0]


def split(x: Tensor, modalities: int) -> tuple[Tensor, ...]:
    """The inverse of `stack`: (M·B, C, H, W) → M views (B, C, H, W)."""
    return x.chunk(modalities)


def whole(weight: Tensor) -> Tensor:
    """All of a weight, of which this process may keep but a share (FSDP); with gradient."""
    # Not by isinstance: importing DTensor takes time, and only training has any.
    return weight.full_tensor() if hasattr(weight, "full_tensor") else weight


class PrivateConv(nn.Module):
    """One convolution per modality: the "unshared" rows of Tables 1, 7 and 8.

    Args:
        convs: M convolutions of the same shape, transposed or not.
    """

    def __init__(self, convs: Sequence[nn.Module]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)

    def forward(self, x: Tensor) -> Tensor:
        return stack([conv(part) for conv, part in zip(self.convs, split(x, len(self.convs)), strict=True)])


class PrivateNorm(nn.Module):
    """One norm per modality (paper § 3.4), each on its part of the stacked batch.

    Args:
        norms: M norms of the same kind and width.
    """

    def __init__(self, norms: Sequence[nn.Module]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(norms)

    def normalize(self, x: Tensor) -> list[Tensor]:
        """Eq. 5: stacked (M·B, C, H, W) → M normalized tensors (B, C, H, W)."""
        return [norm(part) for norm, part in zip(self.norms, split(x, len(self.norms)), strict=True)]

    def forward(self, x: Tensor) -> Tensor:
        return stack(self.normalize(x))


class PrivateStatistics(nn.Module):
    """Only (μ, σ²) of Eq. 5 are private, (γ, β) are shared (Table 9).

    Args:
        norms: M affine norms of the same kind and width; the first one's γ and β are taken.
    """

    def __init__(self, norms: Sequence[nn.Module]) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(norms[0].weight.detach()), nn.Parameter(norms[0].bias.detach())
        self.statistics = PrivateNorm([without_affine(norm) for norm in norms])

    def forward(self, x: Tensor) -> Tensor:
        return self.statistics(x) * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


class PrivateAffine(nn.Module):
    """Only (γ, β) of Eq. 5 are private, (μ, σ²) are taken over all modalities together (Table 9).

    Args:
        norms: M affine norms of the same kind and width.
    """

    def __init__(self, norms: Sequence[nn.Module]) -> None:
        super().__init__()
        self.weight_MC = nn.Parameter(torch.stack([norm.weight.detach() for norm in norms]))
        self.bias_MC = nn.Parameter(torch.stack([norm.bias.detach() for norm in norms]))
        self.statistics = without_affine(norms[0])

    def forward(self, x: Tensor) -> Tensor:
        # The modalities of one sample side by side are one larger image: right for batch and instance statistics alike.
        x_MBCHW = x.unflatten(0, (len(self.weight_MC), -1))
        sides = x_MBCHW.unbind()
        # One pixel has no statistics of its own, and one pixel of each modality little more than their order.
        if isinstance(self.statistics, nn.InstanceNorm2d) and x.shape[-2:] == (1, 1):
            normalized = sides
        else:
            normalized = self.statistics(torch.cat(sides, dim=-1)).chunk(len(sides), dim=-1)
        weights, biases = self.weight_MC[:, :, None, None], self.bias_MC[:, :, None, None]
        return stack([part * w + b for part, w, b in zip(normalized, weights, biases, strict=True)])


def copies(module: nn.Module, count: int) -> list[nn.Module]:
    """Independent copies of a module, weights included."""
    return [copy.deepcopy(module) for _ in range(count)]


def without_affine(norm: nn.Module) -> nn.Module:
    """A copy that normalizes only, with the same running statistics."""
    norm = copy.deepcopy(norm)
    norm.affine, norm.weight, norm.bias = False, None, None
    return norm
