# SPDX-License-Identifier: Apache-2.0
"""Assembly: encoder made modal, decoder, ensemble; one literal registry of decoders.

Axes: M modalities, B batch, C channels, K classes, H W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from cen_model import exchange
from cen_model.config import ModelConfig
from cen_model.data.classes import VOID
from cen_model.encoders import build_encoder
from cen_model.modalities import modality
from cen_model.refinenet import RefineNet

DECODERS = {
    "refinenet": partial(RefineNet, kernel_size=3),
    "light_refinenet": partial(RefineNet, kernel_size=1),
}


class Ensemble(nn.Module):
    """Σ_m softmax(α)_m · logits_m (paper § 3.2). The logits are detached: the ensemble's loss trains α alone."""

    def __init__(self, modalities: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(modalities))

    def forward(self, logits: Sequence[Tensor]) -> Tensor:
        if len(logits) == 1:
            return logits[0].detach()
        weights = self.alpha.softmax(0)
        return sum(weight * output.detach() for weight, output in zip(weights, logits, strict=True))


class SegmentationModel(nn.Module):
    """A modal encoder and decoder with one output per modality, and their ensemble.

    Args:
        encoder: stacked images → stacked features; made modal already.
        decoder: stacked features → stacked logits.
        config: what the two were built from.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, config: ModelConfig) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.ensemble = Ensemble(len(config.modalities))
        self.config = config

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Normalised images (B, C_m, H, W) by modality → logits (B, K, H/4, W/4) by modality, and "ensemble".

        Raises:
            ValueError: a modality of the network is missing among the inputs.
        """
        names = self.config.modalities
        missing = [name for name in names if name not in inputs]
        if missing:
            raise ValueError(f"the network takes {', '.join(names)}; missing {', '.join(missing)}, got {list(inputs)}")
        x = exchange.stack(exchange.broaden([inputs[name] for name in names]))
        logits = exchange.split(self.decoder(self.encoder(x)), len(names))
        return {**dict(zip(names, logits, strict=True)), "ensemble": self.ensemble(logits)}

    def sparsity(self) -> Tensor:
        """Σ |γ̂| (Eq. 4, without λ)."""
        return exchange.sparsity(self)

    def exchanged_share(self) -> float:
        """Share in [0, 1] of the exchangeable channels that are replaced now."""
        return exchange.exchanged_share(self)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The paper's two groups: "encoder", and "decoder" with α."""
        return {
            "encoder": list(self.encoder.parameters()),
            "decoder": [*self.decoder.parameters(), *self.ensemble.parameters()],
        }


def build(config: ModelConfig) -> SegmentationModel:
    """Build the network of a configuration, with its encoder's pretrained weights if it names any.

    Raises:
        ValueError: a name in the configuration is unknown, or its parts do not fit each other.
    """
    if not 0 < len(config.classes) <= VOID:
        raise ValueError(f"classes: expected 1 to {VOID} names ({VOID} is void), got {len(config.classes)}")
    if config.decoder not in DECODERS:
        raise ValueError(f"decoder {config.decoder!r} is unknown; expected one of {', '.join(DECODERS)}")
    in_channels = math.lcm(*(modality(name).channels for name in config.modalities))
    encoder = build_encoder(config.encoder, in_channels, config.encoder_width, config.encoder_weights)
    decoder = DECODERS[config.decoder](
        encoder.channels, len(config.classes), width=config.decoder_width, dropout=config.dropout
    )
    exchange.to_modal(encoder, len(config.modalities), config.exchange)
    return SegmentationModel(encoder, decoder, config)
