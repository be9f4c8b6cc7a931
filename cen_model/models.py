# SPDX-License-Identifier: Apache-2.0
"""Assembly of every network: encoder made modal, fusion, decoder, ensemble.

`python -m cen_model.models` prints the registry with what each network costs.

Axes: M modalities, B batch, C channels, K classes, H W pixels.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from cen_model import exchange, modal
from cen_model.conditional import ConditionalNorm, Perceptron
from cen_model.config import NetworkConfig, SegmentationConfig, TranslationConfig
from cen_model.data.classes import VOID
from cen_model.encoders import build_encoder
from cen_model.fusion import Concat, StagedFusion
from cen_model.modalities import modality
from cen_model.names import unknown
from cen_model.policies import SoftGate
from cen_model.pspnet import PSPNet
from cen_model.refinenet import RefineNet
from cen_model.registry import REGISTRY
from cen_model.reshape import NotDilatableError
from cen_model.unet import UNetDecoder, UNetEncoder

DECODERS = {
    "refinenet": partial(RefineNet, kernel_size=3),
    "light_refinenet": partial(RefineNet, kernel_size=1),
    "pspnet": PSPNet,
}
# The encoder's output stride where a decoder needs another than the network's own.
OUTPUT_STRIDES = {"pspnet": 8}

SEGMENTATION_POINTS = {"early": (1,), "middle": (2,), "late": (3,), "all": range(4)}
TRANSLATION_POINTS = {"early": (0,), "middle": (3,), "late": (7,), "all": range(8)}


class Ensemble(nn.Module):
    """Σ_m softmax(α)_m · output_m (paper § 3.2). The outputs are detached: the ensemble's loss trains α alone."""

    def __init__(self, modalities: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(modalities))

    def forward(self, outputs: Sequence[Tensor]) -> Tensor:
        if len(outputs) == 1:
            return outputs[0].detach()
        weights = self.alpha.softmax(0)
        return sum(weight * output.detach() for weight, output in zip(weights, outputs, strict=True))


ENSEMBLES = {"softmax": lambda modalities, channels: Ensemble(modalities), "concat": Concat}


class MultimodalNetwork(nn.Module):
    """A modal encoder and decoder with one output per modality, and their ensemble.

    Args:
        encoder: with `stages` that take and return stacked tensors; made modal already.
        fusion: runs the stages and fuses between them; None runs them as they are.
        decoder: stacked features of all stages → stacked outputs.
        ensemble: outputs of all modalities → one; None where the streams were merged before.
        config: what these were built from.
        in_channels: of the encoder's first layer.
    """

    def __init__(
        self,
        encoder: nn.Module,
        fusion: StagedFusion | None,
        decoder: nn.Module,
        ensemble: nn.Module | None,
        config: NetworkConfig,
        in_channels: int,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.fusion = fusion
        self.decoder = decoder
        self.ensemble = ensemble
        self.config = config
        self.in_channels = in_channels

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Images (B, C_m, H, W) by modality → outputs by stream, and "ensemble".

        Segmentation takes normalised images and gives logits (B, K, H/4, W/4), or H/8 with a PSPNet; translation takes
        and gives images in [-1, 1]. While training there are also "auxiliary/<stream>" (logits of a PSPNet's auxiliary
        head) and "alignment" (the alignment loss, a scalar), where the network has them.

        Raises:
            ValueError: a modality of the network is missing among the inputs.
        """
        names = self.config.modalities
        missing = [name for name in names if name not in inputs]
        if missing:
            raise ValueError(f"the network takes {', '.join(names)}; missing {', '.join(missing)}, got {list(inputs)}")
        x = modal.stack(modal.broaden([inputs[name] for name in names], self.in_channels))
        features, alignment = self._encode(x)
        outputs = self._by_stream(self.decoder(features))
        if self.training and alignment is not None:
            outputs["alignment"] = alignment
        if self.training and isinstance(self.decoder, PSPNet):
            streams = self.config.streams or ("ensemble",)
            auxiliary = modal.split(self.decoder.auxiliary(features), len(streams))
            outputs |= {f"auxiliary/{name}": logits for name, logits in zip(streams, auxiliary, strict=True)}
        return outputs

    def _encode(self, x: Tensor) -> tuple[list[Tensor], Tensor | None]:
        if self.fusion is not None:
            return self.fusion(self.encoder.stages, x)
        features = []
        for stage in self.encoder.stages:
            x = stage(x)
            features.append(x)
        return features, None

    def _by_stream(self, output: Tensor) -> dict[str, Tensor]:
        streams = self.config.streams
        if not streams:
            return {"ensemble": output}
        parts = modal.split(output, len(streams))
        return {**dict(zip(streams, parts, strict=True)), "ensemble": self.ensemble(parts)}

    def sparsity(self) -> Tensor:
        """Σ |γ̂| (Eq. 4, without λ)."""
        return exchange.sparsity(self)

    def exchanged_share(self) -> float:
        """Share in [0, 1] of the exchangeable channels that are replaced now."""
        return exchange.exchanged_share(self)

    def fusion_modules(self) -> nn.ModuleList:
        """The modules whose parameters Table 2 counts as used for fusion; none in a CEN."""
        kinds = (StagedFusion, Concat, Perceptron, SoftGate)
        return nn.ModuleList(module for module in self.modules() if isinstance(module, kinds))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The paper's two groups: "encoder", and "decoder" with everything that is new beside it."""
        encoder = list(self.encoder.parameters())
        known = {id(parameter) for parameter in encoder}
        return {"encoder": encoder, "decoder": [p for p in self.parameters() if id(p) not in known]}


def build(config: NetworkConfig | str) -> MultimodalNetwork:
    """Build a network from its configuration or its name in the registry, with pretrained weights if it names any.

    Raises:
        ValueError: a name in the configuration is unknown, or its parts do not fit each other.
    """
    if isinstance(config, str):
        if config not in REGISTRY:
            raise unknown("network", config, REGISTRY)
        config = REGISTRY[config]
    return _build_translation(config) if isinstance(config, TranslationConfig) else _build_segmentation(config)


def _build_segmentation(config: SegmentationConfig) -> MultimodalNetwork:
    if not 0 < len(config.classes) <= VOID:
        raise ValueError(f"classes: expected 1 to {VOID} names ({VOID} is void), got {len(config.classes)}")
    if config.decoder not in DECODERS:
        raise unknown("decoder", config.decoder, DECODERS)
    in_channels = math.lcm(*(modality(name).channels for name in config.modalities))
    stride = OUTPUT_STRIDES.get(config.decoder)
    try:
        encoder = build_encoder(config.encoder, in_channels, config.encoder_width, config.encoder_weights, stride)
    except NotDilatableError as error:
        raise ValueError(
            f"encoder={config.encoder!r} and decoder={config.decoder!r} cannot go together: {error}"
        ) from error
    own = {"width": config.decoder_width, "dropout": config.dropout}
    changed = {key: value for key, value in own.items() if value is not None}
    decoder = DECODERS[config.decoder](encoder.channels, len(config.classes), **changed)
    return _assemble(config, encoder, decoder, in_channels, len(config.classes), SEGMENTATION_POINTS, config.norms)


def _build_translation(config: TranslationConfig) -> MultimodalNetwork:
    usual = math.lcm(*(modality(name).channels for name in config.modalities))
    in_channels = config.in_channels or usual
    out_channels = modality(config.target).channels
    encoder = UNetEncoder(in_channels, config.filters, config.normalised)
    decoder = UNetDecoder(encoder.channels, out_channels, config.dropout)
    return _assemble(
        config, encoder, decoder, in_channels, out_channels, TRANSLATION_POINTS, config.decoder_norms, stem=True
    )


def _assemble(
    config: NetworkConfig,
    encoder: nn.Module,
    decoder: nn.Module,
    in_channels: int,
    out_channels: int,
    points: Mapping[str, Sequence[int]],
    decoder_norms: str,
    stem: bool = False,
) -> MultimodalNetwork:
    modalities, fusion = len(config.modalities), None
    if config.fusion and config.fusion.method != "cbn":
        fusion = StagedFusion(config.fusion, modalities, encoder.channels, points[config.fusion.stages])
    merged = bool(modalities > 1 and not config.streams)
    # A slice of a ModuleList holds the same stages; where the streams merge, the later ones stay as they are.
    stages = encoder.stages[: fusion.last_with_streams + 1] if merged else encoder.stages
    strided_only = bool(config.exchange and config.exchange.layers == "downsampling")
    exchange.to_modal(
        stages, modalities, _fuse(config), convs=config.convs, norms=config.norms, stem=stem, strided_only=strided_only
    )
    if not merged:
        exchange.to_modal(decoder, modalities, convs=config.convs, norms=decoder_norms)
    ensemble = None if merged else ENSEMBLES[config.ensemble](modalities, out_channels)
    return MultimodalNetwork(encoder, fusion, decoder, ensemble, config, in_channels)


def _fuse(config: NetworkConfig) -> Callable[[Sequence[nn.Module]], nn.Module] | None:
    if config.exchange:
        return partial(exchange.ExchangeNorm, config=config.exchange)
    return ConditionalNorm if config.fusion and config.fusion.method == "cbn" else None


if __name__ == "__main__":
    from cen_model.model_table import main  # for the command line alone

    try:
        main(REGISTRY, build)
    except ValueError as error:
        sys.exit(f"models: {error}")
