# SPDX-License-Identifier: Apache-2.0
"""Configuration of a training run: frozen dataclasses read from YAML and from `key=value` overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from jsonargparse import auto_cli

from cen_model.config import SegmentationConfig


@dataclass(frozen=True)
class DataConfig:
    """Synthetic scenes, by seed. The three ranges of seeds must not overlap."""

    size: tuple[int, int] = (240, 320)
    """Height and width of a scene in pixels."""
    train_scenes: int = 2000
    train_seed: int = 0
    validation_scenes: int = 50
    validation_seed: int = 1_000_000
    """Scenes that choose the best checkpoint."""
    held_out_scenes: int = 200
    held_out_seed: int = 2_000_000
    """Scenes that measure it, once, at the end."""
    crop: tuple[int, int] = (160, 208)
    scale: tuple[float, float] = (0.5, 1.0)
    """Range of the random resizing factor before the crop."""
    jitter: float = 0.3
    """Strength of the random change of brightness, contrast and saturation."""
    workers: int = 0
    """Loader processes; 0 loads in the training process."""
    evaluation_batch: int = 4

    def __post_init__(self) -> None:
        ranges = sorted([self.training, self.validation, self.held_out], key=lambda seeds: seeds.start)
        for lower, upper in pairwise(ranges):
            if upper.start < lower.stop:
                raise ValueError(f"data: the seeds {lower} and {upper} overlap; scenes must not be shared")

    @property
    def training(self) -> range:
        return range(self.train_seed, self.train_seed + self.train_scenes)

    @property
    def validation(self) -> range:
        return range(self.validation_seed, self.validation_seed + self.validation_scenes)

    @property
    def held_out(self) -> range:
        return range(self.held_out_seed, self.held_out_seed + self.held_out_scenes)


@dataclass(frozen=True)
class OptimiserConfig:
    """SGD; the defaults are the paper's (§ 4.1)."""

    encoder_lr: float = 5e-4
    decoder_lr: float = 3e-3
    """Of the decoder and of the ensemble's weights."""
    momentum: float = 0.9
    weight_decay: float = 1e-5
    """Of everything but the norms."""
    batch: int = 6
    frozen_statistics: bool = False
    """Keep BatchNorm's running statistics instead of the batch's, as the published code does with ImageNet's."""


@dataclass(frozen=True)
class ExchangeTrainingConfig:
    """How the scaling factors γ of the exchanging norms are driven under θ.

    Under the penalty alone a factor moves by lr · λ / (1 - momentum) a step: from 1, a short run never gets there.
    """

    penalty: float = 5e-3
    """λ of Eq. 4."""
    gamma_init: float | None = None
    """Value at which every scaling factor of the exchanging norms starts; None keeps the network's own."""
    lr_factor: float = 1.0
    """Learning rate of these factors, relative to the encoder's."""


@dataclass(frozen=True)
class ScheduleConfig:
    """Learning rate over the run."""

    kind: Literal["halving", "cosine"] = "halving"
    """Halved every `halve_every` epochs (the paper), or a half cosine down to 0."""
    epochs: int = 300
    halve_every: int = 100
    warmup_steps: int = 0
    """Steps of linear growth at the start."""


@dataclass(frozen=True)
class TrainConfig:
    """A training run."""

    model: SegmentationConfig = field(default_factory=SegmentationConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    exchange: ExchangeTrainingConfig = field(default_factory=ExchangeTrainingConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    output: str = "runs/synthetic"
    """Folder of the checkpoints and of TensorBoard's events."""
    resume: bool = False
    """Continue from the last checkpoint in `output`."""
    seed: int = 0
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Of the forward and backward pass, in Lightning Fabric's words."""
    half_weights: bool = False
    """Write convolutions as float16 into the checkpoints: half the size."""
    validate_every: int = 1
    """Epochs between validations."""


# What a continued run may change: none of it decides which step follows which.
_FREE = {"output", "resume", "validate_every", "data.workers", "data.evaluation_batch", "schedule.epochs"}


def refuse_changes(started: Mapping[str, Any], continued: Mapping[str, Any], file: Path) -> None:
    """Raise ValueError that names the keys in which a continued run's configuration differs from the one it began with.

    More epochs are allowed; with a cosine schedule they bend it from there on.
    """
    before, now = _flat(started), _flat(continued)
    changed = [
        key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key) and key not in _FREE
    ]
    if changed:
        words = ", ".join(f"{key} was {before.get(key)!r}, is {now.get(key)!r}" for key in changed)
        raise ValueError(f"{file}: the run was started with another configuration: {words}; repeat its overrides")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat


def parse(arguments: Sequence[str]) -> TrainConfig:
    """Read ``--config FILE`` and overrides written ``key=value`` or ``--key=value``, later ones win.

    Unknown keys and values of the wrong type end the program with a message that names them.
    """
    dashed = [f"--{text}" if "=" in text and not text.startswith("-") else text for text in arguments]
    return auto_cli(TrainConfig, args=dashed, as_positional=False)
