# SPDX-License-Identifier: Apache-2.0
"""Every network that the paper trains or compares, and those for small machines, by name."""

from __future__ import annotations

from dataclasses import replace

from cen_model.classes import NYU40
from cen_model.config import ExchangeConfig, FusionConfig, NetworkConfig, SegmentationConfig, TranslationConfig

_CEN = SegmentationConfig(classes=NYU40)
_PLAIN = replace(_CEN, exchange=None)
_LIGHT = replace(_CEN, encoder="resnet18", decoder="light_refinenet", decoder_width=128)
_LITE = replace(_CEN, decoder="lraspp")

# Uni-modal networks, CEN on the paper's backbones (Table 3), and CEN for small machines.
_SEGMENTATION = {
    "rgb": replace(_PLAIN, modalities=("rgb",)),
    "depth": replace(_PLAIN, modalities=("depth",)),
    "cen": _CEN,
    "cen-published": replace(_CEN, exchange=ExchangeConfig(scope="all")),
    "cen-resnet50": replace(_CEN, encoder="resnet50"),
    "cen-resnet152": replace(_CEN, encoder="resnet152"),
    "cen-pspnet101": replace(_CEN, decoder="pspnet"),
    "cen-pspnet152": replace(_CEN, encoder="resnet152", decoder="pspnet"),
    "cen-light18": _LIGHT,
    "cen-light34": replace(_LIGHT, encoder="resnet34"),
    "cen-light-mobilenet": replace(_LIGHT, encoder="mobilenet_v3_large"),
    "cen-light-efficientnet": replace(_LIGHT, encoder="efficientnet_b0"),
    "cen-light-regnet": replace(_LIGHT, encoder="regnet_y_400mf"),
    "cen-lite0": replace(_LITE, encoder="timm/tf_efficientnet_lite0"),
    "cen-lite2": replace(_LITE, encoder="timm/tf_efficientnet_lite2"),
}


def _exchange(penalized: str, scope: str) -> ExchangeConfig:
    return ExchangeConfig(penalized=penalized, scope=scope)


# Tables 1 and 7: "half" is each modality's own half. Rows with neither penalty nor exchange have no `exchange` at all.
_SHARING = {
    "private_convs": replace(_PLAIN, convs="private"),
    "shared_norms": replace(_PLAIN, norms="shared"),
    "private_norms": _PLAIN,
    "private_convs-l1_half": replace(_CEN, convs="private", exchange=_exchange("own", "none")),
    "private_convs-l1_half-exchange": replace(_CEN, convs="private"),
    "l1_half": replace(_CEN, exchange=_exchange("own", "none")),
    "private_convs-l1_all": replace(_CEN, convs="private", exchange=_exchange("all", "none")),
    "private_convs-l1_all-exchange": replace(_CEN, convs="private", exchange=_exchange("all", "all")),
    "l1_all": replace(_CEN, exchange=_exchange("all", "none")),
    "l1_all-exchange": replace(_CEN, exchange=_exchange("all", "all")),
}

# § 4.1, "Additional ablation studies". A fixed or random portion goes without the penalty.
_ABLATIONS = {
    "fixed": replace(_CEN, exchange=ExchangeConfig(policy="fixed", penalized="none")),
    "fixed-downsampling": replace(
        _CEN, exchange=ExchangeConfig(policy="fixed", penalized="none", layers="downsampling")
    ),
    "random": replace(_CEN, exchange=ExchangeConfig(policy="random", penalized="none")),
    "discard": replace(_CEN, exchange=ExchangeConfig(policy="discard")),
    "sum": replace(_CEN, exchange=ExchangeConfig(policy="sum")),
    "soft_gate": replace(_CEN, exchange=ExchangeConfig(policy="soft_gate")),
    "cen-concat_end": replace(_CEN, ensemble="concat"),
    "cen-concat_before_decoder": replace(_CEN, fusion=FusionConfig("concat", "all", "merged")),
    "cbn-private_convs": replace(_PLAIN, fusion=FusionConfig("cbn"), convs="private"),
    "cbn-shared_convs": replace(_PLAIN, fusion=FusionConfig("cbn")),
}

_METHODS = ("concat", "average", "align", "attention")
_STAGES = ("early", "middle", "late", "all")


def _baseline(base: NetworkConfig, method: str, stages: str, common: bool) -> NetworkConfig:
    """A fusion baseline in the "commonly-used setting", private networks, or in "our setting", shared convolutions."""
    streams = "merged" if common and method != "align" else "kept"
    fusion = FusionConfig(method, stages, streams)
    return replace(base, exchange=None, fusion=fusion, convs="private" if common else "shared")


# Table 2, both settings, and Table 4 (the U-Net at its 1st, 4th, 8th or every convolution).
_BASELINES = {
    f"{method}-{stages}{'-common' if common else ''}": _baseline(_CEN, method, stages, common)
    for method in _METHODS
    for stages in _STAGES
    for common in (True, False)
}

_UNET = TranslationConfig()
_UNET_PLAIN = replace(_UNET, modalities=("shade", "texture", "depth"), exchange=None)
_TRANSLATION = {
    "unet-published": replace(
        _UNET,
        in_channels=3,
        out_channels=3,
        exchange=ExchangeConfig(threshold=1e-2, scope="all"),
        normalized="inner",
        decoder_norms="private",
    ),
    # Table 5: one to four modalities.
    "unet-1": replace(_UNET, modalities=("depth",), exchange=None),
    "unet-2": _UNET,
    "unet-3": replace(_UNET, modalities=("depth", "normal", "texture")),
    "unet-4": replace(_UNET, modalities=("depth", "normal", "texture", "shade")),
    # Tables 8 and 9: what is shared, without fusion.
    "unet-private_convs": replace(_UNET_PLAIN, convs="private", decoder_norms="private"),
    "unet-shared_norms": replace(_UNET_PLAIN, norms="shared"),
    "unet-private_norms": _UNET_PLAIN,
    "unet-private_affine": replace(_UNET_PLAIN, norms="private_affine"),
    "unet-private_statistics": replace(_UNET_PLAIN, norms="private_statistics"),
    **{f"unet-{method}-{stages}": _baseline(_UNET, method, stages, False) for method in _METHODS for stages in _STAGES},
}

REGISTRY: dict[str, NetworkConfig] = {**_SEGMENTATION, **_SHARING, **_ABLATIONS, **_BASELINES, **_TRANSLATION}

_SMALL = tuple(name for name in _SEGMENTATION if name.startswith(("cen-light", "cen-lite")))
DEPLOYED = ("cen", "cen-resnet50", "cen-pspnet101", *_SMALL)
"""Those meant for robots: every backend's labels are held to theirs."""


def list_networks() -> tuple[str, ...]:
    """Return the names of all networks that `cen_model.build` knows."""
    return tuple(REGISTRY)
