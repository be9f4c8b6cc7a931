# SPDX-License-Identifier: Apache-2.0
"""Channel exchange: private layers on modality-major batches, and the rewriting of any CNN into its modal form.

Modalities are stacked along the batch axis, so that every shared layer is an ordinary layer that sees a larger batch.
Only the layers in this file know how many modalities there are.

Axes: M modalities, B batch, C channels, H W pixels; a stacked tensor is (M·B, C, H, W), modality-major.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from cen_model.config import ExchangeConfig, Region

NORMS = (nn.BatchNorm2d, nn.InstanceNorm2d)


def broaden(inputs: Sequence[Tensor]) -> list[Tensor]:
    """Repeat the channels of each (B, C_m, H, W) up to the least common multiple of all C_m (paper, footnote 3)."""
    channels = math.lcm(*(x.shape[1] for x in inputs))
    return [x if x.shape[1] == channels else x.repeat(1, channels // x.shape[1], 1, 1) for x in inputs]


def stack(inputs: Sequence[Tensor]) -> Tensor:
    """M tensors (B, C, H, W) → one (M·B, C, H, W)."""
    return torch.cat(tuple(inputs)) if len(inputs) > 1 else inputs[0]


def split(x: Tensor, modalities: int) -> tuple[Tensor, ...]:
    """The inverse of `stack`: (M·B, C, H, W) → M views (B, C, H, W)."""
    return x.chunk(modalities)


class PrivateNorm(nn.Module):
    """One norm per modality (paper § 3.4), each on its part of the stacked batch.

    Args:
        norms: M norms of the same kind and width.
    """

    def __init__(self, norms: Sequence[nn.Module]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(norms)

    def normalise(self, x: Tensor) -> list[Tensor]:
        """Eq. 5: stacked (M·B, C, H, W) → M normalised tensors (B, C, H, W)."""
        return [norm(part) for norm, part in zip(self.norms, split(x, len(self.norms)), strict=True)]

    def forward(self, x: Tensor) -> Tensor:
        return stack(self.normalise(x))


class ExchangeNorm(PrivateNorm):
    """Normalisation followed by channel exchange (paper Eq. 5 and 6), for any M ≥ 2.

    Channel c of modality m is replaced by the mean of the other modalities' normalised channel c where |γ_m,c| < θ
    and c is in the scope of m. No gradient reaches a replaced channel; it flows to those that replace it.

    Args:
        norms: M ≥ 2 affine norms of the same width.
        config: scope, penalised part and threshold.

    Raises:
        ValueError: with fewer than two norms, or norms without scaling factors.
    """

    def __init__(self, norms: Sequence[nn.Module], config: ExchangeConfig | None = None) -> None:
        super().__init__(norms)
        config = config or ExchangeConfig()
        if len(norms) < 2:
            raise ValueError(f"channel exchange needs at least two modalities, got {len(norms)}")
        if any(norm.weight is None for norm in norms):
            raise ValueError("channel exchange compares scaling factors: the norms must be affine (affine=True)")
        self.threshold = config.threshold
        shape = len(norms), norms[0].num_features
        self.register_buffer("scope_MC", _region(config.scope, *shape), persistent=False)
        self.register_buffer("penalised_MC", _region(config.penalised, *shape), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.normalise(x)
        masks = self.replaced().unsqueeze(-1).unsqueeze(-1)
        others = _mean_of_others(parts)
        return stack([torch.where(mask, other, part) for mask, other, part in zip(masks, others, parts, strict=True)])

    def scaling_factors(self) -> Tensor:
        """γ as (M, C), with gradient."""
        return torch.stack([norm.weight for norm in self.norms])

    def replaced(self) -> Tensor:
        """Which channels are replaced now: bool (M, C)."""
        return (self.scaling_factors().detach().abs() < self.threshold) & self.scope_MC

    def sparsity(self) -> Tensor:
        """Σ |γ̂| of this layer (Eq. 4, without λ): a scalar."""
        return self.scaling_factors()[self.penalised_MC].abs().sum()


class PrivateConv(nn.Module):
    """One convolution per modality: the "unshared" rows of Tables 1, 7 and 8.

    Args:
        convs: M convolutions of the same shape.
    """

    def __init__(self, convs: Sequence[nn.Conv2d]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)

    def forward(self, x: Tensor) -> Tensor:
        return stack([conv(part) for conv, part in zip(self.convs, split(x, len(self.convs)), strict=True)])


def to_modal(
    module: nn.Module, modalities: int, exchange: ExchangeConfig | None = None, private_convs: bool = False
) -> nn.Module:
    """Turn any CNN into its modal form, in place: it then takes and returns stacked batches (M·B, C, H, W).

    Every norm becomes private. With `exchange`, those that follow a k×k convolution exchange channels; the network's
    first convolution (the stem) and 1×1 convolutions do not count (paper appendix B). Each modality starts from a copy
    of the norm's own weights, so pretrained weights survive. With one modality the module is returned as it is.

    Args:
        module: a network whose modules are registered in the order in which they run.
        modalities: M ≥ 1.
        exchange: where and when channels are exchanged; None keeps the norms private only.
        private_convs: give every modality its own convolutions too.
    """
    if modalities == 1:
        return module
    stem = last_conv = None
    for name, child in list(module.named_modules()):
        if isinstance(child, nn.Conv2d):
            stem, last_conv = stem or child, child
            if private_convs:
                _replace(module, name, PrivateConv(_copies(child, modalities)))
        elif isinstance(child, NORMS):
            exchanges = exchange is not None and last_conv is not stem and max(last_conv.kernel_size) > 1
            norms = _copies(child, modalities)
            _replace(module, name, ExchangeNorm(norms, exchange) if exchanges else PrivateNorm(norms))
    return module


def exchange_norms(module: nn.Module) -> Iterator[ExchangeNorm]:
    """Every exchanging norm of a network."""
    return (child for child in module.modules() if isinstance(child, ExchangeNorm))


def sparsity(module: nn.Module) -> Tensor:
    """Σ_m Σ_l |γ̂_m,l| over a network (Eq. 4, without λ): a scalar, 0 where nothing exchanges."""
    return sum((norm.sparsity() for norm in exchange_norms(module)), start=torch.zeros(()))


def exchanged_share(module: nn.Module) -> float:
    """Share in [0, 1] of the channels in scope that are replaced now; 0 where nothing may be."""
    replaced = sum(int(norm.replaced().sum()) for norm in exchange_norms(module))
    return replaced / max(1, sum(int(norm.scope_MC.sum()) for norm in exchange_norms(module)))


def _region(region: Region, modalities: int, channels: int) -> Tensor:
    """Bool (M, C). The M parts of "own" differ by at most one channel where M does not divide C."""
    if region == "own":
        owner_C = torch.arange(channels) * modalities // channels
        return owner_C == torch.arange(modalities).unsqueeze(1)
    return torch.full((modalities, channels), region == "all")


def _mean_of_others(parts: list[Tensor]) -> list[Tensor]:
    if len(parts) == 2:  # exact, and no arithmetic at all
        return parts[::-1]
    total = sum(parts)
    return [(total - part) / (len(parts) - 1) for part in parts]


def _copies(module: nn.Module, count: int) -> list[nn.Module]:
    return [copy.deepcopy(module) for _ in range(count)]


def _replace(root: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(root.get_submodule(parent), child, module)
