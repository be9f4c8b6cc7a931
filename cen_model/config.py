# SPDX-License-Identifier: Apache-2.0
"""What a network is made of, as frozen dataclasses: the part of a configuration that travels inside a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal, NoReturn

from cen_model.classes import NYU13
from cen_model.utils.validation import POSITIVE, check, look_up, unknown

Region = Literal["none", "own", "all"]
"""A set of channels of modality m: no channel, its own one of M equal parts (paper § 3.3), or every channel."""


@dataclass(frozen=True)
class ExchangeConfig:
    """Channel exchange (paper § 3.3). The defaults are the paper's; the published code has `scope="all"`."""

    policy: Literal["threshold", "fixed", "random", "discard", "sum", "soft_gate"] = "threshold"
    """What happens to the channels in scope: Eq. 6, or one of the ablations of § 4.1 (see `cen_model.nn.policies`)."""
    scope: Region = "own"
    """Where a modality's channels may be replaced."""
    penalized: Region = "own"
    """γ̂: the scaling factors under the sparsity penalty of Eq. 4."""
    threshold: float = 2e-2
    """θ of Eq. 6: a channel is replaced where |γ| < θ."""
    portion: float = 0.3
    """Share of all channels that the policies "fixed" and "random" replace in every modality."""
    scale: float = 1.0
    """Factor on γ and β of the exchanging norms, with the next filters divided by it: the encoder's features stay as
    they are, and pretrained factors come to where θ and the penalty mean what they mean in the paper (1/8 for
    EfficientNet-Lite). For encoders with ReLU or ReLU6 after these norms."""
    layers: Literal["all", "downsampling"] = "all"
    """After every k×k convolution, or only after those with a stride."""

    def __post_init__(self) -> None:
        check(self, "exchange.", POSITIVE, "scale")


@dataclass(frozen=True)
class FusionConfig:
    """A fusion baseline (paper § 4.1 and appendix B, Tables 2 and 4)."""

    method: Literal["concat", "average", "align", "attention", "cbn"] = "concat"
    """Concatenation and 1×1 convolution, mean, alignment loss (MK-MMD), SSMA, or conditional BatchNorm."""
    stages: Literal["early", "middle", "late", "all"] = "all"
    """Encoder stages after which the modalities are fused: the 2nd, 3rd, 4th or all four of a segmentation encoder; the
    1st, 4th, 8th or all eight convolutions of the U-Net. "cbn" acts in every norm that follows a k×k convolution."""
    streams: Literal["kept", "merged"] = "kept"
    """"kept": every modality is propagated to its own output ("same with our setting"). "merged": one stream after the
    last fusion ("commonly-used setting")."""
    weight: float = 1.0
    """Of the alignment loss."""


@dataclass(frozen=True)
class NormalizationConfig:
    """How raw values of a modality become a network's input: (raw / scale - mean) / std, channel by channel."""

    mean: tuple[float, ...] = (0.0,)
    """One for all channels or one for each, in the network's order."""
    std: tuple[float, ...] = (1.0,)
    scale: float = 1.0
    """The raw value that counts as 1: 255 for images of 8 bits; for depth, that many meters."""
    order: Literal["rgb", "bgr"] = "rgb"
    """Of three channels, which the sensors have as RGB."""

    def __post_init__(self) -> None:
        check(self, "normalization.", POSITIVE, "std", "scale")


@dataclass(frozen=True)
class NetworkConfig:
    """What segmentation and translation networks have in common."""

    task: ClassVar[str]

    modalities: tuple[str, ...] = ("rgb", "depth")
    convs: Literal["shared", "private"] = "shared"
    """Whether the modalities share their convolutions (§ 3.4, Tables 1, 7 and 8)."""
    norms: Literal["private", "shared", "private_affine", "private_statistics"] = "private"
    """Private norms (the paper's), shared ones (Tables 1 and 8), or only (γ, β) or only (μ, σ²) private (Table 9)."""
    exchange: ExchangeConfig | None = field(default_factory=ExchangeConfig)
    """None: no exchange and no penalty."""
    fusion: FusionConfig | None = None
    """A fusion baseline; together with `exchange`, both act."""
    ensemble: Literal["softmax", "concat"] = "softmax"
    """How the modalities' outputs become one: weighted by softmax α (§ 3.2), or by a concat-fusion block (§ 4.1)."""
    supervision: Literal["separate", "joint", "ensemble"] = "separate"
    """What a modality's stream learns from. "separate": a loss of its own; the ensemble's loss trains the ensemble's
    weights alone (the published code). "ensemble": the ensemble's loss, the only one (Eq. 4). "joint": both."""
    initial_weights: str | None = None
    """Training starts from the weights of one of this project's checkpoints, a file or the name of shipped weights,
    wherever they fit. Checkpoints do not keep this key."""

    def __post_init__(self) -> None:
        if not self.modalities or len(set(self.modalities)) < len(self.modalities):
            raise ValueError(f"modalities: expected one or more different names, got {list(self.modalities)}")
        if len(self.modalities) == 1:
            self._check_single()
        if self.exchange is not None:
            self._check_exchange(self.exchange)
        if self.fusion is not None:
            self._check_fusion(self.fusion)

    def _check_single(self) -> None:
        modalities = {"modalities": list(self.modalities)}
        if self.exchange is not None:
            policy = {"exchange.policy": self.exchange.policy}
            _refuse({**modalities, **policy}, "exchange needs two modalities; set exchange to null")
        if self.fusion is not None:
            _refuse({**modalities, "fusion.method": self.fusion.method}, "fusion needs two modalities")
        if self.ensemble != "softmax":
            _refuse({**modalities, "ensemble": self.ensemble}, "there is one output; set ensemble to softmax")

    def _check_exchange(self, exchange: ExchangeConfig) -> None:
        share = {"none": 0.0, "own": 1 / len(self.modalities), "all": 1.0}[exchange.scope]
        if self.norms != "private":
            why = "exchange compares the scaling factors of private norms; set exchange to null"
            _refuse({"norms": self.norms, "exchange.policy": exchange.policy}, why)
        if exchange.policy in ("fixed", "random") and exchange.portion > share:
            keys = {"exchange.portion": exchange.portion, "exchange.scope": exchange.scope}
            _refuse(keys, f"a modality may replace {share:.0%} of its channels at most")

    def _check_fusion(self, fusion: FusionConfig) -> None:
        method = {"fusion.method": fusion.method}
        if fusion.method == "cbn" and self.exchange is not None:
            why = "both would take the norms that follow a k×k convolution; set exchange to null"
            _refuse({**method, "exchange.policy": self.exchange.policy}, why)
        if fusion.method == "cbn" and self.norms != "private":
            _refuse({**method, "norms": self.norms}, "one modality's norms are modulated by another's")
        if fusion.method in ("align", "cbn") and fusion.streams == "merged":
            _refuse({**method, "fusion.streams": fusion.streams}, "it keeps every stream")
        if fusion.streams == "merged" and self.ensemble != "softmax":
            why = "one stream has one output; set ensemble to softmax"
            _refuse({"fusion.streams": fusion.streams, "ensemble": self.ensemble}, why)

    @property
    def streams(self) -> tuple[str, ...]:
        """The modalities that have an output of their own, beside the ensemble's."""
        return () if self.fusion and self.fusion.streams == "merged" else self.modalities

    @property
    def supervised(self) -> tuple[str, ...]:
        """The streams with a loss of their own."""
        return () if self.supervision == "ensemble" else self.streams

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON, without `initial_weights`; the inverse of `from_dict`."""
        values = {"task": self.task, **asdict(self)}
        del values["initial_weights"]
        return values


@dataclass(frozen=True)
class SegmentationConfig(NetworkConfig):
    """A segmentation network: encoder made modal, decoder, ensemble (paper § 4.1)."""

    task: ClassVar[str] = "segmentation"

    classes: tuple[str, ...] = NYU13
    encoder: str = "resnet101"
    """A CNN with BatchNorm, of torchvision (resnet18 … resnet152, mobilenet_v3_large, efficientnet_b0, …) or of timm
    (timm/tf_efficientnet_lite0, timm/mobilenetv4_conv_small, timm/resnet18d, timm/repvgg_a0, …)."""
    encoder_width: float = 1.0
    """Factor on every channel count of the encoder; pretrained weights need 1."""
    encoder_weights: str | None = None
    """"imagenet" (of torchvision's or timm's download, or their cache; of timm/tf_efficientnet_lite0, 1 and 2 from the
    packages of the extra `pretrained`), a local file, or None for random weights."""
    normalization: dict[str, NormalizationConfig] | None = field(default=None, hash=False)
    """How raw values become input, by modality. One that is not named is as `cen_model.modalities` has it: rgb by
    ImageNet's mean and deviation, depth in meters; or, of rgb, as timm has it for an encoder of timm's, which stands
    here once the network is built."""
    decoder: str = "refinenet"
    """refinenet (3×3 convolutions, the paper's), light_refinenet (1×1), pspnet (on a dilated encoder), or lraspp (a
    classifier on every stage, for small encoders of linear bottlenecks)."""
    decoder_width: int | None = None
    """Channels of the RefineNet pyramid (its deepest level has twice as many), of the PSPNet's last features, or of
    LR-ASPP's coarser stages; None takes the decoder's own, 256, 512 or 128."""
    dropout: float | None = None
    """While training, before the classifier, and in RefineNet on the two coarsest features; None takes the decoder's
    own rate, 0.5 in RefineNets and 0.1 in others."""
    input_height: int | None = None
    """Height in pixels of the images that it was trained on; what deployment resizes to. None: any image as it is."""
    temperature: float = 1.0
    """What deployment and evaluation divide logits by, so that a label's probability is how often such labels are
    right; labels stay what they are. `cen calibrate` measures it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "", POSITIVE, "temperature")


@dataclass(frozen=True)
class TranslationConfig(NetworkConfig):
    """An image-to-image translation network: the U-Net-256 generator (paper § 4.2)."""

    task: ClassVar[str] = "translation"

    modalities: tuple[str, ...] = ("shade", "texture")
    exchange: ExchangeConfig | None = field(default_factory=lambda: ExchangeConfig(threshold=1e-2))
    target: str = "rgb"
    in_channels: int | None = None
    """Channels that every input is repeated to; None takes the least common multiple (paper, footnote 3)."""
    out_channels: int | None = None
    """Of the images made; None takes the target's. The published code makes three of every target."""
    filters: int = 64
    """Channels after the first convolution; of the discriminator, too, that it is trained against."""
    normalized: Literal["all", "inner"] = "all"
    """Encoder convolutions with a norm, and so with exchange: all eight (the paper), or the 2nd to the 7th (the
    published code, where the norms of the other two exist and are penalized, but nothing passes through them)."""
    decoder_norms: Literal["shared", "private"] = "shared"
    """Shared in the paper, private in the published code."""
    dropout: float = 0.5
    """In the decoder's first three blocks."""


TASKS = {config.task: config for config in (SegmentationConfig, TranslationConfig)}
RENAMED_KEYS = {
    "colours": "colors",
    "normalised": "normalized",
    "optimiser": "optimizer",
    "optimisers": "optimizers",
    "penalised": "penalized",
}
"""Keys in files of version 0.1, and their spelling since then."""
_PARTS = {"exchange": ExchangeConfig, "fusion": FusionConfig}


def from_dict(values: Mapping[str, Any]) -> SegmentationConfig | TranslationConfig:
    """Build a configuration from plain values, such as `to_dict` gives.

    Raises:
        ValueError: an unknown task or key, or keys that cannot go together; they are named.
    """
    values = dict(values)
    task = values.pop("task", SegmentationConfig.task)
    cls = look_up("task", task, TASKS)
    _refuse_unknown(cls, values)
    for key, part in _PARTS.items():
        if values.get(key) is not None:
            _refuse_unknown(part, values[key])
            values[key] = part(**values[key])
    if values.get("normalization") is not None:
        values["normalization"] = {name: _normalization(each) for name, each in values["normalization"].items()}
    for key in ("modalities", "classes"):
        if key in values:
            values[key] = tuple(values[key])
    return cls(**values)


def from_json(text: str) -> SegmentationConfig | TranslationConfig:
    """Build a configuration from the text in a checkpoint's metadata, of version 0.1 too.

    Raises:
        ValueError: not JSON, or what `from_dict` refuses.
    """
    return from_dict(rename_keys(json.loads(text)))


def _normalization(values: Mapping[str, Any]) -> NormalizationConfig:
    _refuse_unknown(NormalizationConfig, values)
    return NormalizationConfig(**{key: tuple(v) if isinstance(v, (list, tuple)) else v for key, v in values.items()})


def rename_keys(values: Any) -> Any:
    """Return nested values, read from a file of this project, with the keys of version 0.1 in today's spelling."""
    if isinstance(values, Mapping):
        return {RENAMED_KEYS.get(key, key): rename_keys(value) for key, value in values.items()}
    return values


def refuse_renamed_keys(values: Any, place: str) -> None:
    """Raise ValueError that tells today's spelling where nested values, written by a user, have a key of version 0.1.

    Args:
        place: what the message begins with, such as the name of the file.
    """
    if isinstance(values, Mapping):
        for key, value in values.items():
            for part in str(key).split("."):
                if part in RENAMED_KEYS:
                    raise ValueError(f"{place}: the key {part!r} is spelled {RENAMED_KEYS[part]!r} now")
            refuse_renamed_keys(value, place)


def _refuse(keys: Mapping[str, Any], why: str) -> NoReturn:
    words = " and ".join(f"{key}={value!r}" for key, value in keys.items())
    raise ValueError(f"{words} cannot go together: {why}")


def _refuse_unknown(cls: type, values: Mapping[str, Any]) -> None:
    known = [f.name for f in fields(cls)]
    for key in sorted(set(values) - set(known)):
        raise unknown(f"{cls.__name__}: the key", key, known)
