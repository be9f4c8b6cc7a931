# SPDX-License-Identifier: Apache-2.0
"""CBN: the norms of the other modalities are modulated by the first one (de Vries et al. 2017; paper § 4.1).

Axes: M modalities, B batch, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cen_model.nn.modal import split, stack, without_affine

_REDUCTION = 16


class Perceptron(nn.Sequential):
    """(B, C) → (B, 2 C) by way of C/16 hidden units, at first zero."""

    def __init__(self, channels: int) -> None:
        hidden = max(8, channels // _REDUCTION)
        super().__init__(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, 2 * channels))
        nn.init.zeros_(self[-1].weight)
        nn.init.zeros_(self[-1].bias)


class ConditionalNorm(nn.Module):
    """Private norms of which all but the first get their scale and offset shifted by the first modality's features.

    x' = (γ + Δγ) x̂ + β + Δβ, where a perceptron predicts (Δγ, Δβ) from the global mean of the first modality's output.
    Its last layer starts at zero, so that pretrained networks start unchanged.

    Args:
        norms: M ≥ 2 affine norms of the same kind and width.
    """

    def __init__(self, norms: Sequence[nn.Module]) -> None:
        super().__init__()
        self.first, others = norms[0], norms[1:]
        # Normalized without γ: what γ has scaled to zero could not be scaled up again.
        self.statistics = nn.ModuleList(without_affine(norm) for norm in others)
        self.affine_MC2 = nn.Parameter(torch.stack([torch.stack([n.weight, n.bias], -1) for n in others]).detach())
        self.perceptrons = nn.ModuleList(Perceptron(self.first.num_features) for _ in others)

    def forward(self, x: Tensor) -> Tensor:
        """Stacked (M·B, C, H, W) → the same shape."""
        first, *others = split(x, len(self.statistics) + 1)
        first = self.first(first)
        condition = first.mean((-2, -1))
        outputs = [first]
        for part, norm, affine, perceptron in zip(
            others, self.statistics, self.affine_MC2, self.perceptrons, strict=True
        ):
            scale, offset = (affine + perceptron(condition).unflatten(1, (-1, 2))).unbind(-1)
            outputs.append(norm(part) * scale[:, :, None, None] + offset[:, :, None, None])
        return stack(outputs)
