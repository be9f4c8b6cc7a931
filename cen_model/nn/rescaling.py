# SPDX-License-Identifier: Apache-2.0
"""Smaller scaling factors of the exchanging norms, without another answer of the network.

The threshold and the penalty of the paper mean factors that start near 0.1; those of pretrained encoders are many times
larger, and driving them down destroys the features. For ReLU, and for ReLU6 if its ceiling is scaled too, γ and β of a
norm times s and the next filters over s change nothing: s · clamp(x, 0, 6) = clamp(s · x, 0, 6 · s).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cen_model.nn.encoders import Encoder
from cen_model.nn.exchange import CONVS, ExchangeNorm, exchange_norms, named_exchange_norms
from cen_model.nn.modal import PrivateConv, PrivateNorm

_CEILING = 6.0
_SIZE = (64, 96)
"""Of the image whose features before and after are compared."""


@dataclass
class _Link:
    """An exchanging norm, with what follows up to the next convolution."""

    norm: ExchangeNorm
    ceilings: list[str] = field(default_factory=list)
    convs: list[nn.Module] = field(default_factory=list)


def rescale(encoder: Encoder, scale: float, in_channels: int) -> None:
    """Make γ of a modal encoder's exchanging norms `scale` times as large, in place, and its features as they were.

    Args:
        encoder: its modules are registered in the order in which they run.
        scale: of `cen_model.config.ExchangeConfig`.
        in_channels: of its first convolution.

    Raises:
        ValueError: with nothing exchanged, the encoder's features are others then.
    """
    modalities = len(next(exchange_norms(encoder)).norms)
    pixels = modalities * in_channels * math.prod(_SIZE)
    image = torch.linspace(-2, 2, pixels, device=next(encoder.parameters()).device).view(modalities, -1, *_SIZE)
    before = _features(encoder, image)
    scale_values(encoder, scale)
    for link in list(_links(encoder)):
        for name in link.ceilings:
            encoder.set_submodule(name, nn.Hardtanh(0.0, _CEILING * scale))
    if not image.is_meta and not all(map(_close, before, _features(encoder, image))):
        raise ValueError(
            f"exchange.scale={scale}: this encoder cannot be scaled, for it has something else than one ReLU or ReLU6 "
            "between an exchanging norm and the next convolution; leave the key out"
        )


@torch.no_grad()
def scale_values(encoder: nn.Module, factor: float) -> None:
    """Multiply γ and β of the exchanging norms by a factor, and divide the next filters by it, in place."""
    for link in _links(encoder):
        for norm in link.norm.norms:
            norm.weight.mul_(factor)
            norm.bias.mul_(factor)
        for conv in link.convs:
            conv.weight.div_(factor)


def _close(old: Tensor, new: Tensor) -> bool:
    return torch.allclose(old, new, rtol=1e-3, atol=1e-3 * float(old.abs().max()))


@torch.no_grad()
def _features(encoder: Encoder, image: Tensor) -> list[Tensor]:
    """Return the features of a copy that exchanges nothing, with its running statistics."""
    plain = copy.deepcopy(encoder).eval()
    for name, norm in named_exchange_norms(plain).items():
        plain.set_submodule(name, PrivateNorm(norm.norms))
    return plain(image)


def _links(encoder: nn.Module) -> Iterator[_Link]:
    link = None
    for name, module in _steps(encoder):
        if isinstance(module, ExchangeNorm):
            link = _Link(module)
        elif link and isinstance(module, nn.ReLU6):
            link.ceilings.append(name)
        elif link and isinstance(module, (*CONVS, PrivateConv)):
            link.convs = list(module.convs) if isinstance(module, PrivateConv) else [module]
            yield link
            link = None


def _steps(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield modules with a computation of their own by name, in order; layers of several modalities as one."""
    for name, child in module.named_children():
        if isinstance(child, (ExchangeNorm, PrivateConv)) or not list(child.children()):
            yield prefix + name, child
        else:
            yield from _steps(child, f"{prefix}{name}.")
