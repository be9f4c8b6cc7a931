# SPDX-License-Identifier: Apache-2.0
"""Assembly of every network from its configuration, or from its name in the registry.

`cen models` prints the registry with what each network costs.

Axes: M modalities, C channels, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from cen_model.classes import VOID
from cen_model.config import NetworkConfig, SegmentationConfig, TranslationConfig
from cen_model.modalities import check_normalization, modality
from cen_model.nn.conditional import ConditionalNorm
from cen_model.nn.encoder_surgery import NotDilatableError
from cen_model.nn.encoders import Encoder, build_encoder
from cen_model.nn.exchange import ExchangeNorm, exchange_norms, to_modal
from cen_model.nn.fusion import StagedFusion
from cen_model.nn.lraspp import LiteRASPP
from cen_model.nn.network import ConcatEnsemble, Ensemble, MultimodalNetwork
from cen_model.nn.pspnet import PSPNet
from cen_model.nn.refinenet import RefineNet
from cen_model.nn.rescaling import rescale
from cen_model.nn.unet import Down, InstanceNorm, UNetDecoder, UNetEncoder
from cen_model.registry import REGISTRY
from cen_model.utils.validation import look_up

DECODERS = {
    "refinenet": partial(RefineNet, kernel_size=3),
    "light_refinenet": partial(RefineNet, kernel_size=1),
    "pspnet": PSPNet,
    "lraspp": LiteRASPP,
}
# The encoder's output stride where a decoder needs another than the network's own.
OUTPUT_STRIDES = {"pspnet": 8}
ENSEMBLES = {
    "softmax": lambda modalities, channels, detached: Ensemble(modalities, detached),
    "concat": ConcatEnsemble,
}

SEGMENTATION_POINTS = {"early": (1,), "middle": (2,), "late": (3,), "all": range(4)}
TRANSLATION_POINTS = {"early": (0,), "middle": (3,), "late": (7,), "all": range(8)}


@dataclass(frozen=True)
class _Parts:
    """What the tasks differ in."""

    encoder: nn.Module
    decoder: nn.Module
    in_channels: int
    out_channels: int
    fusion_points: Mapping[str, Sequence[int]]
    decoder_norms: str
    stem: int
    norm: Callable[[int], nn.Module]


def build(config: NetworkConfig | str) -> MultimodalNetwork:
    """Build a network from its configuration or its name in the registry, with pretrained weights if it names any.

    Raises:
        ValueError: a name in the configuration is unknown, or its parts do not fit each other.
    """
    if isinstance(config, str):
        config = look_up("network", config, REGISTRY)
    if isinstance(config, TranslationConfig):
        return _assemble(config, _translation_parts(config))
    parts = _segmentation_parts(config)
    return _assemble(_with_normalization(config, parts.encoder), parts)


def _segmentation_parts(config: SegmentationConfig) -> _Parts:
    if not 0 < len(config.classes) <= VOID:
        raise ValueError(f"classes: expected 1 to {VOID} names ({VOID} is void), got {len(config.classes)}")
    make_decoder = look_up("decoder", config.decoder, DECODERS)
    in_channels = _broadened(config)
    encoder = _segmentation_encoder(config, in_channels)
    own = {"width": config.decoder_width, "dropout": config.dropout}
    changed = {key: value for key, value in own.items() if value is not None}
    decoder = make_decoder(encoder.channels, len(config.classes), **changed)
    outputs, stem = len(config.classes), len(encoder.stem)
    return _Parts(encoder, decoder, in_channels, outputs, SEGMENTATION_POINTS, config.norms, stem, nn.BatchNorm2d)


def _segmentation_encoder(config: SegmentationConfig, in_channels: int) -> Encoder:
    stride = OUTPUT_STRIDES.get(config.decoder)
    try:
        return build_encoder(config.encoder, in_channels, config.encoder_width, config.encoder_weights, stride)
    except NotDilatableError as error:
        keys = f"encoder={config.encoder!r} and decoder={config.decoder!r}"
        raise ValueError(f"{keys} cannot go together: {error}") from error


def _with_normalization(config: SegmentationConfig, encoder: Encoder) -> SegmentationConfig:
    """Spell out what the encoder expects, where it is not the usual: a checkpoint then tells it without a look-up."""
    if encoder.normalization and "rgb" in config.modalities:
        config = replace(config, normalization={"rgb": encoder.normalization, **(config.normalization or {})})
    check_normalization(config.normalization or {}, config.modalities)
    return config


def _translation_parts(config: TranslationConfig) -> _Parts:
    broadened, target_channels = _broadened(config), modality(config.target).channels
    in_channels, out_channels = config.in_channels or broadened, config.out_channels or target_channels
    encoder = UNetEncoder(in_channels, config.filters, config.normalized)
    decoder = UNetDecoder(encoder.channels, out_channels, config.dropout)
    return _Parts(
        encoder, decoder, in_channels, out_channels, TRANSLATION_POINTS, config.decoder_norms, 0, InstanceNorm
    )


def _broadened(config: NetworkConfig) -> int:
    """The least common multiple of the modalities' channels (paper, footnote 3)."""
    return math.lcm(*(modality(name).channels for name in config.modalities))


def _assemble(config: NetworkConfig, parts: _Parts) -> MultimodalNetwork:
    modalities, encoder, fusion = len(config.modalities), parts.encoder, None
    if config.fusion and config.fusion.method != "cbn":
        points = parts.fusion_points[config.fusion.stages]
        fusion = StagedFusion(config.fusion, modalities, encoder.channels, points, parts.norm)
    merged = not config.streams
    # A slice of a ModuleList holds the same stages; where the streams merge, the later ones stay as they are.
    to_modal(
        encoder.stages[: fusion.last_with_streams + 1] if merged else encoder.stages,
        modalities,
        _fuse(config),
        convs=config.convs,
        norms=config.norms,
        stem=parts.stem,
        strided_only=config.exchange is not None and config.exchange.layers == "downsampling",
    )
    if config.exchange and config.exchange.scale != 1.0:
        rescale(encoder, config.exchange.scale, parts.in_channels)
    _freeze_norms_not_run(encoder)
    if not merged:
        to_modal(parts.decoder, modalities, convs=config.convs, norms=parts.decoder_norms)
    detached = config.supervision == "separate"
    ensemble = None if merged else ENSEMBLES[config.ensemble](modalities, parts.out_channels, detached)
    return MultimodalNetwork(encoder, fusion, parts.decoder, ensemble, config, parts.in_channels)


def _freeze_norms_not_run(encoder: nn.Module) -> None:
    """Where nothing passes through a norm, its penalized factors alone get a gradient; for any other DDP would wait."""
    for stage in encoder.stages:
        if isinstance(stage, Down) and not stage.normalized:
            penalized = {id(norm.weight) for layer in exchange_norms(stage) for norm in layer.norms}
            for parameter in stage.norm.parameters():
                parameter.requires_grad_(id(parameter) in penalized)


def _fuse(config: NetworkConfig) -> Callable[[Sequence[nn.Module]], nn.Module] | None:
    if config.exchange:
        return partial(ExchangeNorm, config=config.exchange)
    return ConditionalNorm if config.fusion and config.fusion.method == "cbn" else None
