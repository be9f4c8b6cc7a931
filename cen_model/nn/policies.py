# SPDX-License-Identifier: Apache-2.0
"""What channel exchange does with the channels in a modality's scope: the paper's Eq. 6 and its ablations (§ 4.1).

A policy is a module: ``policy(parts, gamma_MC)`` takes M normalized tensors (B, C, H, W) and their scaling factors, and
returns M tensors of the same shape. ``policy.replaced(gamma_MC)`` says which channels it replaces.

Axes: M modalities, B batch, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cen_model.config import ExchangeConfig


class Threshold(nn.Module):
    """Eq. 6: a channel with |γ| < θ is replaced by the mean of the other modalities' channels.

    Args:
        scope_MC: bool, the channels that each modality may have replaced.
        config: with the policy's own settings.
    """

    def __init__(self, scope_MC: Tensor, config: ExchangeConfig) -> None:
        super().__init__()
        self.register_buffer("scope_MC", scope_MC, persistent=False)
        self.threshold = config.threshold

    def replaced(self, gamma_MC: Tensor) -> Tensor:
        """Bool (M, C)."""
        return (gamma_MC.abs() < self.threshold) & self.scope_MC

    def forward(self, parts: Sequence[Tensor], gamma_MC: Tensor) -> list[Tensor]:
        return _where(self.replaced(gamma_MC), mean_of_others(parts), parts)


class Discard(Threshold):
    """A channel with |γ| < θ is zero henceforth: pruning, without exchange."""

    def forward(self, parts: Sequence[Tensor], gamma_MC: Tensor) -> list[Tensor]:
        return _where(self.replaced(gamma_MC), [torch.zeros_like(part) for part in parts], parts)


class Fixed(nn.Module):
    """A fixed portion of the channels is exchanged, whatever γ is: the first ones in each modality's scope."""

    def __init__(self, scope_MC: Tensor, config: ExchangeConfig) -> None:
        super().__init__()
        count = round(config.portion * scope_MC.shape[1])
        self.register_buffer("mask_MC", scope_MC & (scope_MC.cumsum(1) <= count), persistent=False)

    def replaced(self, gamma_MC: Tensor) -> Tensor:
        """Bool (M, C)."""
        return self.mask_MC

    def forward(self, parts: Sequence[Tensor], gamma_MC: Tensor) -> list[Tensor]:
        return _where(self.mask_MC, mean_of_others(parts), parts)


class Random(Fixed):
    """As many channels as `Fixed`, drawn at random when the network is built and kept from then on (cf. ShuffleNet)."""

    def __init__(self, scope_MC: Tensor, config: ExchangeConfig) -> None:
        super().__init__(scope_MC, config)
        noise = torch.rand(scope_MC.shape).masked_fill(~scope_MC, 2.0)
        rank_MC = noise.argsort(1).argsort(1)
        self.register_buffer("mask_MC", rank_MC < self.mask_MC.sum(1, keepdim=True))


class Sum(nn.Module):
    """In scope the others' mean is added to every channel, Eq. 6 without its condition."""

    def __init__(self, scope_MC: Tensor, config: ExchangeConfig) -> None:
        super().__init__()
        self.register_buffer("scope_MC", scope_MC, persistent=False)

    def replaced(self, gamma_MC: Tensor) -> Tensor:
        """Bool (M, C): none is."""
        return torch.zeros_like(self.scope_MC)

    def gate(self) -> Tensor:
        """Weight (M, C) of what is added."""
        return self.scope_MC

    def forward(self, parts: Sequence[Tensor], gamma_MC: Tensor) -> list[Tensor]:
        gates = self.gate().to(parts[0].dtype)[:, :, None, None]
        return [part + gate * other for part, gate, other in zip(parts, gates, mean_of_others(parts), strict=True)]


class SoftGate(Sum):
    """`Sum` with a learned gate in (0, 1) per modality and channel, which starts half open."""

    def __init__(self, scope_MC: Tensor, config: ExchangeConfig) -> None:
        super().__init__(scope_MC, config)
        self.logit_MC = nn.Parameter(torch.zeros(scope_MC.shape))

    def gate(self) -> Tensor:
        """Weight (M, C) of what is added."""
        return self.logit_MC.sigmoid() * self.scope_MC


POLICIES = {
    "threshold": Threshold,
    "fixed": Fixed,
    "random": Random,
    "discard": Discard,
    "sum": Sum,
    "soft_gate": SoftGate,
}


def mean_of_others(parts: Sequence[Tensor]) -> list[Tensor]:
    """For each of M ≥ 2 tensors, the mean of all but itself."""
    if len(parts) == 2:  # exact, and no arithmetic at all
        return list(parts[::-1])
    total = sum(parts)
    return [(total - part) / (len(parts) - 1) for part in parts]


def _where(mask_MC: Tensor, replacements: Sequence[Tensor], parts: Sequence[Tensor]) -> list[Tensor]:
    masks = mask_MC[:, :, None, None]
    return [torch.where(mask, new, part) for mask, new, part in zip(masks, replacements, parts, strict=True)]
