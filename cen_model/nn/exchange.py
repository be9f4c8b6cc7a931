# SPDX-License-Identifier: Apache-2.0
"""Channel exchange, and the rewriting of any CNN into its modal form.

Axes: M modalities, B batch, C channels, H W pixels; a stacked tensor is (M·B, C, H, W), modality-major.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from cen_model.config import ExchangeConfig, Region
from cen_model.nn.modal import PrivateAffine, PrivateConv, PrivateNorm, PrivateStatistics, copies, stack, whole
from cen_model.nn.policies import POLICIES

NORMS = (nn.BatchNorm2d, nn.InstanceNorm2d)
CONVS = (nn.Conv2d, nn.ConvTranspose2d)
NORM_SHARING = {
    "private": PrivateNorm,
    "private_affine": PrivateAffine,
    "private_statistics": PrivateStatistics,
    "shared": lambda norms: norms[0],
}


class ExchangeNorm(PrivateNorm):
    """Normalization followed by channel exchange (paper Eq. 5 and 6), for any M ≥ 2.

    By default channel c of modality m is replaced by the mean of the other modalities' normalized channel c where
    |γ_m,c| < θ and c is in the scope of m. No gradient reaches a replaced channel; it flows to those that replace it.

    Args:
        norms: M ≥ 2 affine norms of the same width.
        config: policy, scope, penalized part and threshold.

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
        shape = len(norms), norms[0].num_features
        self.register_buffer("scope_MC", _region(config.scope, *shape), persistent=False)
        self.register_buffer("penalized_MC", _region(config.penalized, *shape), persistent=False)
        self.policy = POLICIES[config.policy](self.scope_MC, config)
        self._exchanges = config.scope != "none"

    def forward(self, x: Tensor) -> Tensor:
        parts = self.normalize(x)
        return stack(self.policy(parts, self.scaling_factors().detach()) if self._exchanges else parts)

    def scaling_factors(self) -> Tensor:
        """γ as (M, C), with gradient."""
        return torch.stack([whole(norm.weight) for norm in self.norms])

    def replaced(self) -> Tensor:
        """Which channels are replaced now: bool (M, C)."""
        return self.policy.replaced(self.scaling_factors().detach())

    def sparsity(self) -> Tensor:
        """Σ |γ̂| of this layer (Eq. 4, without λ): a scalar."""
        return (self.scaling_factors().abs() * self.penalized_MC).sum()


def to_modal(
    module: nn.Module,
    modalities: int,
    fuse: Callable[[Sequence[nn.Module]], nn.Module] | None = None,
    *,
    convs: Literal["shared", "private"] = "shared",
    norms: Literal["private", "shared", "private_affine", "private_statistics"] = "private",
    stem: int = 1,
    strided_only: bool = False,
) -> nn.Module:
    """Turn any CNN into its modal form, in place: it then takes and returns stacked batches (M·B, C, H, W).

    Every norm becomes private, or as private as `norms` says. Each modality starts from a copy of the norm's own
    weights, so pretrained weights survive. With one modality the module is returned as it is.

    Args:
        module: a network whose modules are registered in the order in which they run.
        modalities: M ≥ 1.
        fuse: makes one module of the M norms that follow a k×k convolution, k > 1 (depth-wise ones included), such as
            `ExchangeNorm`. None: these norms are like the others.
        convs: "private" gives every modality its own convolutions too.
        norms: which parts of the other norms are private.
        stem: how many of the network's first convolutions do not count as k×k. In the paper the first does not in
            ResNets, and does in the U-Net (appendix B); newer stems have several.
        strided_only: of the k×k convolutions, only those with a stride count.

    Raises:
        ValueError: a norm has its activation inside, as timm's `BatchNormAct2d`: what is exchanged lies between them.
    """
    if modalities == 1:
        return module
    last, count = None, 0
    for name, child in list(module.named_modules()):
        if isinstance(child, CONVS):
            last, count = child, count + 1
            if convs == "private":
                module.set_submodule(name, PrivateConv(copies(child, modalities)))
        elif isinstance(child, NORMS):
            _refuse_activation_inside(name, child)
            spatial = count > stem and max(last.kernel_size) > 1
            fuses = fuse is not None and spatial and (not strided_only or max(last.stride) > 1)
            new = (fuse if fuses else NORM_SHARING[norms])(copies(child, modalities))
            module.set_submodule(name, new)
    return module


def _refuse_activation_inside(name: str, norm: nn.Module) -> None:
    if hasattr(norm, "act"):
        raise ValueError(
            f"{name}: a {type(norm).__name__} has its activation inside, but channels are exchanged between norm and "
            "activation; make two modules of it"
        )


def exchange_norms(module: nn.Module) -> Iterator[ExchangeNorm]:
    """Every exchanging norm of a network."""
    return (child for child in module.modules() if isinstance(child, ExchangeNorm))


def named_exchange_norms(module: nn.Module) -> dict[str, ExchangeNorm]:
    """Every exchanging norm of a network by its name, in the network's order."""
    return {name: child for name, child in module.named_modules() if isinstance(child, ExchangeNorm)}


def sparsity(module: nn.Module) -> Tensor:
    """Σ_m Σ_l |γ̂_m,l| over a network (Eq. 4, without λ): a scalar, 0 where nothing exchanges."""
    nothing = torch.zeros((), device=next(module.parameters()).device)
    return sum((norm.sparsity() for norm in exchange_norms(module)), start=nothing)


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
