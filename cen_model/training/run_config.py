# SPDX-License-Identifier: Apache-2.0
"""Configuration of a training run: frozen dataclasses read from YAML and from `key=value` overrides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonargparse import ArgumentParser, auto_cli, capture_parser

from cen_model.config import SegmentationConfig, TranslationConfig, refuse_renamed_keys
from cen_model.data.data_config import DataConfig
from cen_model.utils.files import expand_home, find_configuration
from cen_model.utils.validation import AT_LEAST_0, AT_LEAST_1, DECAY, POSITIVE, SHARE, check, look_up


@dataclass(frozen=True)
class OptimizerConfig:
    """The defaults are the paper's for segmentation (§ 4.1)."""

    kind: Literal["sgd", "adam", "adamw"] = "sgd"
    encoder_lr: float = 5e-4
    decoder_lr: float = 3e-3
    """Of the decoder and of the ensemble's weights."""
    momentum: float = 0.9
    """Of SGD."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Of Adam and AdamW."""
    weight_decay: float = 1e-5
    """Of everything but the norms."""
    batch: int = 6
    """Samples a step, of all processes together."""
    accumulate: int = 1
    """Passes that a process makes of its share of the batch, one after the other, in less memory."""
    clip: float | None = None
    """Greatest norm of the gradient; None does not clip."""
    frozen_statistics: bool = False
    """Keep BatchNorm's running statistics instead of the batch's, as the published code does with ImageNet's."""

    def __post_init__(self) -> None:
        check(self, "optimizer.", AT_LEAST_0, "encoder_lr", "decoder_lr", "weight_decay")
        check(self, "optimizer.", DECAY, "momentum", "betas")
        check(self, "optimizer.", AT_LEAST_1, "batch", "accumulate")
        check(self, "optimizer.", POSITIVE, "clip")


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

    def __post_init__(self) -> None:
        check(self, "exchange.", AT_LEAST_0, "penalty", "lr_factor")


@dataclass(frozen=True)
class ScheduleConfig:
    """Learning rate over the run."""

    kind: Literal["halving", "steps", "cosine", "constant"] = "halving"
    """Halved every `every` epochs (the paper), changed to the next of `encoder_factors` and `decoder_factors` instead,
    a half cosine down to 0, or constant."""
    epochs: int = 300
    every: int = 100
    encoder_factors: tuple[float, ...] = (1.0, 0.5, 0.2)
    decoder_factors: tuple[float, ...] = (1.0, 0.5, 7 / 30)
    """Of "steps"; the published code's."""
    warmup_steps: int = 0
    """Steps of linear growth at the start."""

    def __post_init__(self) -> None:
        check(self, "schedule.", AT_LEAST_1, "epochs", "every")
        check(self, "schedule.", AT_LEAST_0, "warmup_steps", "encoder_factors", "decoder_factors")


@dataclass(frozen=True)
class HardwareConfig:
    """What a run computes on, and how. Processes that torchrun started are found by themselves."""

    devices: int = 1
    """Processes to start on this machine, one for each GPU; under torchrun it tells how many there are."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """Of several processes. "ddp": each has the whole network. "fsdp": each keeps its share of the weights, of the
    gradients and of the optimizer's state, which saves memory where the network is large, and takes messages; with
    `ema` all weights at every step."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Of the forward and backward pass, in Lightning Fabric's words."""
    compile: bool = False
    """Run torch.compile on it first: slow to begin, faster to go on."""
    recompute: bool = False
    """Keep less for the backward pass and compute it again; segmentation alone."""

    def __post_init__(self) -> None:
        check(self, "hardware.", AT_LEAST_1, "devices")
        if self.compile and self.recompute:
            raise ValueError(
                "hardware.recompute=true and hardware.compile=true cannot go together: the compiler itself chooses "
                "what to compute again; leave one of them out"
            )


@dataclass(frozen=True)
class RunConfig:
    """What training runs of both tasks have in common."""

    data: DataConfig = field(default_factory=DataConfig)
    exchange: ExchangeTrainingConfig = field(default_factory=ExchangeTrainingConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    output: str = "runs/mine"
    """Folder of the checkpoints and of TensorBoard's events."""
    resume: bool = True
    """Continue a run of the same configuration in `output`; else there must be none."""
    seed: int = 0
    ema: float | None = None
    """Decay of a moving average of the weights, which is measured and written instead of them; None has none."""
    half_weights: bool = False
    """Write convolutions as float16 into the checkpoints: half the size."""
    validate_every: int = 1
    """Epochs between validations; 0 has one at the end alone."""
    save_every: int = 0
    """Steps between saved states, besides those at the end of every epoch; 0 for these alone."""
    save_minutes: float | None = 30.0
    """Minutes after which the state is saved in the midst of an epoch, too."""
    dry_run: bool = False
    """Print what would be done, and do nothing."""

    def __post_init__(self) -> None:
        check(self, "", DECAY, "ema")
        check(self, "", AT_LEAST_0, "seed", "validate_every", "save_every", "save_minutes")


@dataclass(frozen=True)
class TrainConfig(RunConfig):
    """Training of segmentation."""

    task: Literal["segmentation"] = "segmentation"
    model: SegmentationConfig = field(default_factory=SegmentationConfig)
    """Its classes are those of the data."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    label_smoothing: float = 0.0
    loss_stride: int = 1
    """Of the pixels that the loss sees, in rows and columns: with 2 it sees a fourth of them, in a fourth of the time,
    which on a CPU is a third of a small network's step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "", SHARE, "label_smoothing")
        check(self, "", AT_LEAST_1, "loss_stride")
        if self.label_smoothing and self.data.with_synthetic:
            raise ValueError(
                "label_smoothing and data.with_synthetic=true cannot go together: a scene's label may be one of "
                "several classes; leave one of them out"
            )
        if self.model.initial_weights and self.model.encoder_weights:
            raise ValueError(
                f"model.initial_weights={self.model.initial_weights} and "
                f"model.encoder_weights={self.model.encoder_weights} cannot go together: the first has an encoder of "
                "its own; leave one of them out (=null)"
            )


def _pix2pix() -> OptimizerConfig:
    return OptimizerConfig("adam", 2e-4, 2e-4, betas=(0.5, 0.999), weight_decay=0.0, batch=1)


@dataclass(frozen=True)
class TranslationTrainConfig(RunConfig):
    """Training of image-to-image translation (§ 4.2, pix2pix's optimizer)."""

    task: Literal["translation"] = "translation"
    model: TranslationConfig = field(default_factory=TranslationConfig)
    optimizer: OptimizerConfig = field(default_factory=_pix2pix)
    """Of the generator and of the discriminator, which takes `encoder_lr`."""
    schedule: ScheduleConfig = field(default_factory=lambda: ScheduleConfig("constant"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hardware.recompute:
            raise ValueError("hardware.recompute: it is for segmentation alone, and task is translation; leave it out")
        if self.optimizer.frozen_statistics:
            raise ValueError(
                "optimizer.frozen_statistics: it is for segmentation alone; translation's norms take every image's own "
                "statistics, and have none to keep; leave it out"
            )


AnyTrainConfig = TrainConfig | TranslationTrainConfig
TASKS: dict[str, type[AnyTrainConfig]] = {"segmentation": TrainConfig, "translation": TranslationTrainConfig}
# How jsonargparse makes the parser.
_PARSER = {
    "prog": "cen train",
    "description": "Train a network, or continue a run that was interrupted; any key may be overridden by key=value.",
    "epilog": "example: cen train config/train/synthetic.yaml output=runs/mine optimizer.batch=16",
    "as_positional": False,
}


def plain(value: Any) -> Any:
    """Nested values as YAML, JSON and `torch.load(weights_only=True)` know them: no tuples, no paths."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def parse(arguments: Sequence[str]) -> AnyTrainConfig:
    """Read ``--config FILE`` and overrides written ``key=value`` or ``--key=value``, later ones win.

    The key `task`, in a file or on the command line, says which of the two configurations it is. Files are found as
    `cen_model.utils.files.find_configuration` has it.

    Paths may begin with ``~``. Unknown keys and values of the wrong type end the program with a message that names
    them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a number is out of range, an unknown task, or a key of version 0.1, whose spelling has changed.
    """
    dashed = _dashed(arguments)
    return expand_home(auto_cli(_config_class(dashed), args=dashed, **_PARSER))


def parser_for(arguments: Sequence[str]) -> ArgumentParser:
    """Return the parser by which `parse` reads these arguments; raises what `parse` does."""
    return capture_parser(auto_cli, _config_class(_dashed(arguments)), **_PARSER)


def _dashed(arguments: Sequence[str]) -> list[str]:
    """Return arguments as jsonargparse reads them, with the files that are found."""
    dashed = []
    for before, text in zip(["", *arguments], arguments, strict=False):
        if before == "--config":
            dashed.append(str(find_configuration(text)))
        elif text.startswith("--config="):
            dashed.append(f"--config={find_configuration(text.partition('=')[2])}")
        else:
            dashed.append(f"--{text}" if "=" in text and not text.startswith("-") else text)
    return dashed


def _config_class(arguments: Sequence[str]) -> type[AnyTrainConfig]:
    task = "segmentation"
    for place, settings in _settings(arguments):
        refuse_renamed_keys(settings, place)
        task = settings.get("task", task)
    return look_up("task", task, TASKS)


def _settings(arguments: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what every file and every override sets, each with the place that it comes from."""
    for text, following in zip(arguments, [*arguments[1:], ""], strict=False):
        name, _, value = text.partition("=")
        value = value or following
        if name == "--config" and (file := Path(expand_home(value))).is_file():
            stored = _read_yaml(file.read_text(encoding="utf-8"))
            if isinstance(stored, Mapping):
                yield value, stored
        elif name.startswith("--") and name != "--config":
            yield name, {name[2:]: _read_yaml(value)}


def _read_yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:  # jsonargparse says it better
        return None
