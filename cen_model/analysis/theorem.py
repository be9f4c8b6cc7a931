# SPDX-License-Identifier: Apache-2.0
"""Theorem 1: the probability that a scaling factor is attracted to 0.

Axes: M modalities, B batch, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from math import erf, sqrt

import numpy as np
import torch
from torch import Tensor

from cen_model.losses.segmentation import inputs, losses
from cen_model.models import build
from cen_model.nn.exchange import named_exchange_norms
from cen_model.nn.network import MultimodalNetwork


def attraction(
    network: MultimodalNetwork, batches: Iterable[Mapping[str, Tensor]], penalty: float
) -> dict[str, np.ndarray]:
    """2 Φ(λ / |∂L/∂x'|) - 1 of every γ, by layer: (M, C) in [0, 1].

    The theorem is of a network without exchange, and so are the gradients: with it a replaced channel gets none at all,
    and would be certain to stay where it is for that alone. They are taken where training left γ, not at γ = 0 of one
    channel after the other.

    The normalized activations are taken for independent standard normal variables, as in the proof. The gradient of L
    by γ is then normal with the deviation √Σ (∂L/∂x'(i, j))², over the pixels of a batch: that is |∂L/∂x'|, here the
    root of its mean square over the batches.

    Args:
        network: of segmentation; its normalization is that of evaluation. It is not changed.
        batches: with labels, of the size that it was trained with.
        penalty: λ.
    """
    network = _without_exchange(network)
    layers = named_exchange_norms(network)
    squares = {name: torch.zeros(len(layer.norms), layer.norms[0].num_features) for name, layer in layers.items()}
    handles = [
        norm.register_forward_hook(_adding_to(squares[name][m]))
        for name, layer in layers.items()
        for m, norm in enumerate(layer.norms)
    ]
    count = 0
    try:
        for batch in batches:
            outputs = network(inputs(batch, network.config, batch["label"].device))
            sum(losses(outputs, batch["label"]).values()).backward()
            network.zero_grad()
            count += 1
    finally:
        for handle in handles:
            handle.remove()
    phi = np.vectorize(lambda x: 0.5 * (1 + erf(x / sqrt(2))))
    with np.errstate(divide="ignore"):
        return {name: 2 * phi(penalty / np.sqrt(total.numpy() / max(count, 1))) - 1 for name, total in squares.items()}


def _without_exchange(network: MultimodalNetwork) -> MultimodalNetwork:
    # Some policies refuse an empty scope, and some have weights of their own, which are of no use without exchange.
    exchange = replace(network.config.exchange, policy="threshold", scope="none")
    twin = build(replace(network.config, exchange=exchange, encoder_weights=None))
    weights = network.state_dict()
    twin.load_state_dict({name: weights[name] for name in twin.state_dict()})
    return twin.eval()


def _adding_to(total_C: Tensor) -> Callable[..., None]:
    """A forward hook that lets the backward pass add the squared gradient of a norm's output (B, C, H, W)."""

    def add(gradient: Tensor) -> None:
        total_C.add_(gradient.detach().square().sum((0, 2, 3)).float())

    def hook(module: torch.nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        output.register_hook(add)

    return hook
