# SPDX-License-Identifier: Apache-2.0
"""The command line of `python -m cen_model.evaluate`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, set_parsing_settings

from cen_model.data.config import DataConfig, Split
from cen_model.evaluation.inference import InferenceConfig

# What training alone makes use of; the size is the inference's.
_SKIPPED = {"crop", "scale", "jitter", "mirror", "cutout", "modality_dropout", "on_device", "size"}


@dataclass(frozen=True)
class Options:
    """What to measure, on what, and how."""

    weights: str
    data: DataConfig
    inference: InferenceConfig
    split: Split
    drop: tuple[str, ...]
    output: Path | None


def parse(arguments: Sequence[str]) -> Options:
    """Read a command line; sizes may be written 480x640. A mistake ends the program with a message that names it."""
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(prog="python -m cen_model.evaluate", description="Measure a network on a dataset.")
    parser.add_argument("weights", type=str, help="a checkpoint file or the name of shipped weights")
    parser.add_class_arguments(DataConfig, skip=_SKIPPED)
    parser.add_argument("--split", type=Split, default="test", help="of the dataset")
    parser.add_class_arguments(InferenceConfig)
    parser.add_argument("--drop", type=tuple[str, ...], default=(), help="modalities that are missing, such as [depth]")
    parser.add_argument("--output", type=Path | None, default=None, help="folder of results.json and report.html")
    sized = [re.sub(r"^(--\w+=)?(\d+)x(\d+)$", r"\1[\2,\3]", text) for text in arguments]
    values = vars(parser.instantiate(parser.parse_args(sized)))
    inference = InferenceConfig(**_of(InferenceConfig, values))
    data = DataConfig(**{key: value for key, value in _of(DataConfig, values).items() if key not in _SKIPPED})
    return Options(
        data=data, inference=inference, **{key: values[key] for key in ("weights", "split", "drop", "output")}
    )


def _of(cls: type, values: dict[str, Any]) -> dict[str, Any]:
    return {field.name: values[field.name] for field in fields(cls) if field.name in values}
