# SPDX-License-Identifier: Apache-2.0
"""What a network is made of, as frozen dataclasses: the part of a configuration that travels inside a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from cen_model.data.classes import NYU13

Region = Literal["none", "own", "all"]
"""A set of channels of modality m: no channel, its own one of M equal parts (paper § 3.3), or every channel."""


@dataclass(frozen=True)
class ExchangeConfig:
    """Channel exchange (paper § 3.3). The defaults are the paper's; the published code has `scope="all"`."""

    scope: Region = "own"
    """Where a modality's channels may be replaced."""
    penalised: Region = "own"
    """γ̂: the scaling factors under the sparsity penalty of Eq. 4."""
    threshold: float = 2e-2
    """θ of Eq. 6: a channel is replaced where |γ| < θ."""


@dataclass(frozen=True)
class ModelConfig:
    """A segmentation network: encoder made modal, decoder, ensemble."""

    modalities: tuple[str, ...] = ("rgb", "depth")
    classes: tuple[str, ...] = NYU13
    encoder: str = "resnet101"
    """A torchvision ResNet: resnet18, 34, 50, 101 or 152."""
    encoder_width: float = 1.0
    """Factor on every channel count of the encoder; pretrained weights need 1."""
    encoder_weights: str | None = None
    """"imagenet" (torchvision's download or its cache), a local file, or None for random weights."""
    decoder: str = "refinenet"
    """refinenet (3×3 convolutions, the paper's) or light_refinenet (1×1)."""
    decoder_width: int = 256
    """Channels of the decoder's pyramid; its deepest level has twice as many."""
    dropout: float = 0.5
    """On the decoder's two coarsest features and before its classifier, while training."""
    input_height: int | None = None
    """Height in pixels of the images that it was trained on; what deployment resizes to. None: any image as it is."""
    exchange: ExchangeConfig = field(default_factory=ExchangeConfig)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Build from plain values. Raises ValueError that names the keys this version does not know."""
        values = dict(values)
        _refuse_unknown(cls, values)
        if "exchange" in values:
            _refuse_unknown(ExchangeConfig, values["exchange"])
            values["exchange"] = ExchangeConfig(**values["exchange"])
        for key in ("modalities", "classes"):
            if key in values:
                values[key] = tuple(values[key])
        return cls(**values)


def _refuse_unknown(cls: type, values: Mapping[str, Any]) -> None:
    known = [f.name for f in fields(cls)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{cls.__name__}: unknown keys {unknown}; expected some of {known}")
