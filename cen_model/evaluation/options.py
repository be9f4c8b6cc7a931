# SPDX-License-Identifier: Apache-2.0
"""The command line of `python -m cen_model.evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, set_parsing_settings
from jsonargparse.typing import PositiveInt

from cen_model.cli.arguments import as_jsonargparse, tuple_fields
from cen_model.data.data_config import DataConfig, Split
from cen_model.deploy.backends.selection import AUTO
from cen_model.evaluation.image_distances import TranslationOptions
from cen_model.evaluation.inference_modes import InferenceConfig
from cen_model.predictor import NONE

# What training alone makes use of; the size is the inference's.
_SKIPPED = {"crop", "scale", "jitter", "mirror", "cutout", "modality_dropout", "on_device", "size"}
_OTHERS = ("weights", "split", "drop", "frames", "backend", "precision", "fid", "inception", "output")


@dataclass(frozen=True)
class Options:
    """What to measure, on what, and how."""

    weights: str
    data: DataConfig
    inference: InferenceConfig
    split: Split
    drop: tuple[str, ...]
    frames: int | None
    """Only the first so many."""
    backend: str
    """What runs the network, as `cen_model.predictor.Deployment` has it."""
    precision: str
    translation: TranslationOptions
    fid: bool
    inception: Path | None
    output: Path | None


def parse(arguments: Sequence[str]) -> Options:
    """Read a command line, as `cen_model.cli.arguments.as_jsonargparse` has it.

    Raises:
        ValueError: a value makes no sense; it is named. Unknown options and other types end the program with a message.
    """
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(prog="python -m cen_model.evaluate", description="Measure a network on a dataset.")
    parser.add_argument("weights", type=str, help="a checkpoint file or the name of shipped weights")
    parser.add_class_arguments(DataConfig, skip=_SKIPPED)
    parser.add_argument("--split", type=Split, default="test", help="of the dataset")
    parser.add_class_arguments(InferenceConfig)
    parser.add_argument("--drop", type=tuple[str, ...], default=(), help="modalities that are missing, such as depth")
    parser.add_argument("--frames", type=PositiveInt | None, default=None, help="only the first so many")
    parser.add_argument(
        "--backend",
        type=str,
        default=NONE,
        help="measure an engine: inductor, openvino, tensorrt, …, or auto",
    )
    parser.add_argument("--precision", type=str, default=AUTO, help="of the engine: fp32, fp16, bf16")
    parser.add_class_arguments(TranslationOptions)
    parser.add_argument("--fid", type=bool, default=True, help="translation: whether FID and KID are measured")
    parser.add_argument("--inception", type=Path | None, default=None, help="translation: file of Inception's weights")
    parser.add_argument("--output", type=Path | None, default=None, help="folder of results.json and of the report")
    written = as_jsonargparse(arguments, {*tuple_fields(DataConfig, InferenceConfig), "drop"})
    values = vars(parser.instantiate(parser.parse_args(written)))
    inference = InferenceConfig(**_of(InferenceConfig, values))
    data = DataConfig(**{key: value for key, value in _of(DataConfig, values).items() if key not in _SKIPPED})
    translation = TranslationOptions(**_of(TranslationOptions, values))
    others = {key: values[key] for key in _OTHERS}
    return Options(data=data, inference=inference, translation=translation, **others)


def _of(cls: type, values: dict[str, Any]) -> dict[str, Any]:
    return {field.name: values[field.name] for field in fields(cls) if field.name in values}
