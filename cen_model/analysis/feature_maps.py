# SPDX-License-Identifier: Apache-2.0
"""Averaged feature maps by what the scaling factors say of their channels (paper Fig. 3).

Axes: M modalities, B batch, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from cen_model.losses.segmentation import inputs
from cen_model.nn.exchange import ExchangeNorm
from cen_model.nn.network import MultimodalNetwork

GROUPS = ((True, False), (False, True), (False, False))
"""Whether the two modalities' γ are below θ: what the paper shows, in its order."""


def averaged_maps(network: MultimodalNetwork, batch: Mapping[str, Tensor], layer: str) -> dict[str, list[np.ndarray]]:
    """Means over channels, before any exchange, of one frame: by group the maps (H, W) of both modalities.

    A group without channels is left out.

    Args:
        network: of two modalities.
        batch: of one frame.
        layer: name of an exchanging norm.
    """
    norm: ExchangeNorm = network.get_submodule(layer)
    seen: list[Tensor] = []
    handles = [each.register_forward_hook(_keeping(seen)) for each in norm.norms]
    with torch.no_grad():
        network.eval()(inputs(batch, network.config, next(network.parameters()).device))
    for handle in handles:
        handle.remove()
    small = norm.scaling_factors().detach().abs() < network.config.exchange.threshold
    maps = {}
    for wanted in GROUPS:
        channels = (small[0] == wanted[0]) & (small[1] == wanted[1])
        if channels.any():
            named = zip(network.config.modalities, wanted, strict=True)
            title = ", ".join(f"γ {name} {'≈' if below else '>'} 0" for name, below in named)
            maps[f"{title}: {int(channels.sum())} channels"] = [
                each[0, channels].relu().mean(0).numpy() for each in seen
            ]
    return maps


def figure(rgb: np.ndarray, maps: Mapping[str, list[np.ndarray]], names: tuple[str, ...]) -> Figure:
    """The image, and for each group a map of either modality; one scale for all."""
    drawn = Figure((2.6 * (1 + len(maps)), 4.2), layout="constrained")
    axes = drawn.subplots(2, 1 + len(maps), squeeze=False)
    highest = max(float(image.max()) for images in maps.values() for image in images)
    axes[0, 0].imshow(rgb)
    for axis in axes.flat:
        axis.set_axis_off()
    for column, (title, images) in enumerate(maps.items(), start=1):
        axes[0, column].set_title(title, fontsize=7)
        for row, image in enumerate(images):
            axes[row, column].imshow(image, vmin=0, vmax=highest, cmap="viridis")
            axes[row, column].text(
                0.02, 0.97, names[row], color="white", fontsize=8, va="top", transform=axes[row, column].transAxes
            )
    return drawn


def _keeping(seen: list[Tensor]):
    def hook(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(output.detach())

    return hook
