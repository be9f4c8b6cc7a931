# SPDX-License-Identifier: Apache-2.0
"""Arguments of `cen data`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import yaml
from jsonargparse import ArgumentParser

from cen_model.cli.arguments import as_parsed, with_config
from cen_model.data.data_config import DataConfig, Split
from cen_model.utils.files import expand_home, find_configuration


def _parser(command: str, about: str, example: str) -> ArgumentParser:
    parser = ArgumentParser(prog=f"cen data {command}", description=about, epilog=example)
    parser.add_argument("--config", type=Path | None, default=None, help="a training configuration")
    parser.add_class_arguments(DataConfig)
    parser.add_argument("--modalities", type=tuple[str, ...], default=("rgb", "depth"), help="to read or derive")
    if command == "check":
        parser.add_argument("--json", type=Path | None, default=None, help="file to write the figures into")
    else:
        parser.add_argument("--output", type=Path, required=True, help="file or folder to write")
    if command == "show":
        parser.add_argument("--split", type=Split, default="train")
        parser.add_argument("--frames", type=int, default=6, help="how many")
        parser.add_argument("--indices", type=tuple[int, ...], default=(), help="these, such as 0,7")
        parser.add_argument("--seed", type=int, default=0, help="which ones")
        parser.add_argument("--augmented", type=bool, default=False, help="as training sees them")
    if command == "pack":
        parser.add_argument("--train_only", type=bool, default=False, help="without the test split")
    return parser


def read_options(command: str, about: str, example: str, arguments: Sequence[str]) -> tuple[DataConfig, dict]:
    """The data section of a configuration, with what the command line says otherwise; and all options by name.

    Raises:
        OSError, ValueError: the configuration cannot be read. Unknown options end the program.
    """
    parser = _parser(command, about, example)
    arguments = [re.sub(r"^(--)?data\.(?=[\w-]+(=|$))", "--", text) for text in arguments]
    arguments = as_parsed(with_config(arguments), parser)
    first = parser.parse_args(arguments)
    if first.config:
        _set_defaults(parser, find_configuration(first.config))
        first = parser.parse_args(arguments)
    values = {key: expand_home(value) for key, value in vars(parser.instantiate(first)).items()}
    keys = DataConfig.__dataclass_fields__
    return DataConfig(**{key: values[key] for key in keys}), values


def _set_defaults(parser: ArgumentParser, path: Path) -> None:
    """The configuration's data, and the modalities that its network takes and makes."""
    stored = _stored(path)
    model = stored.get("model") or {}
    names = [*(model.get("modalities") or ("rgb", "depth")), *([model["target"]] if "target" in model else [])]
    try:
        parser.set_defaults({"modalities": tuple(names), **stored["data"]})
    except KeyError as error:
        raise ValueError(f"{path}: data: {error}") from error


def _stored(path: Path) -> dict:
    try:
        stored = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: not YAML: {error}") from error
    if not isinstance(stored, dict) or not isinstance(stored.get("data"), dict):
        raise ValueError(f"{path}: expected a training configuration with the key data")
    return stored
