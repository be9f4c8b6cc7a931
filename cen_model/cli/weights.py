# SPDX-License-Identifier: Apache-2.0
"""`cen weights [NAME]`: list the weights that come with the package, or describe a file.

Both read the text that a checkpoint carries beside its tensors. A file NAME.md beside it is its card: what its data and
their terms are, how it was trained, what it is good and bad at.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from cen_model.checkpoint import CONFIG_KEY, read_metadata
from cen_model.cli.arguments import as_parsed
from cen_model.cli.models import as_yaml
from cen_model.config import from_json
from cen_model.data.data_config import DataConfig
from cen_model.utils.files import find_weights, list_weights

EXAMPLE = "example: cen weights synthetic13-cen"
HEADER = ("name", "MB", "classes", "modalities", "measured, ensemble", "trained on", "card")


def main(arguments: Sequence[str]) -> None:
    """List the weights that come with the package, or describe a file.

    Raises:
        FileNotFoundError: there are no weights of that name.
        ValueError: the file is none of our checkpoints.
    """
    parser = argparse.ArgumentParser(prog="cen weights", description=main.__doc__.splitlines()[0], epilog=EXAMPLE)
    parser.add_argument("name", nargs="?", metavar="NAME", help="of shipped weights, or a file; all shipped without it")
    args = parser.parse_args(as_parsed(arguments, parser))
    if args.name:
        print(description(find_weights(args.name)))
    else:
        print(_columns([HEADER, *(_row(name, path) for name, path in list_weights().items())]))


def description(path: Path) -> str:
    """Return what a checkpoint tells: its training data, scores by output, configuration, classes, and its card."""
    metadata = read_metadata(path)
    config, measured = from_json(metadata[CONFIG_KEY]), scores(metadata)
    measures = list(dict.fromkeys(measure for each in measured.values() for measure in each))
    table = [("output", *measures)]
    table += [
        (output, *(f"{each[key]:.4f}" if key in each else "-" for key in measures)) for output, each in measured.items()
    ]
    where = f"{path}: {_megabytes(path)} MB, trained on {_trained_on(metadata)}"
    told = [where, _columns(table) if measured else "no scores", as_yaml(config).rstrip()]
    if config.task == "segmentation":
        told.append("classes: " + ", ".join(f"{number} {name}" for number, name in enumerate(config.classes)))
    if (card := _card(path)).is_file():
        told.append(card.read_text(encoding="utf-8").rstrip())
    return "\n\n".join(told)


def scores(metadata: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Return the scores among metadata: output, such as "ensemble" → measure, such as "mean_iou" → value."""
    found: dict[str, dict[str, float]] = {}
    for output in (*from_json(metadata[CONFIG_KEY]).modalities, "ensemble"):
        keys = sorted(key for key in metadata if key.endswith(f".{output}"))
        found[output] = {key.removesuffix(f".{output}"): float(metadata[key]) for key in keys}
    return {output: each for output, each in found.items() if each}


def _row(name: str, path: Path) -> tuple[str, ...]:
    metadata = read_metadata(path)
    config = from_json(metadata[CONFIG_KEY])
    measured = ", ".join(f"{measure} {value:.3f}" for measure, value in scores(metadata).get("ensemble", {}).items())
    card = "yes" if _card(path).is_file() else "-"
    classes = str(len(config.classes)) if config.task == "segmentation" else f"→ {config.target}"
    return name, _megabytes(path), classes, ", ".join(config.modalities), measured or "-", _trained_on(metadata), card


def _card(path: Path) -> Path:
    return path.with_suffix(".md")


def _trained_on(metadata: Mapping[str, str]) -> str:
    if "training" not in metadata:
        return metadata.get("source", "-")  # of a published checkpoint: the file that it was imported from
    return json.loads(metadata["training"])["data"].get("dataset", DataConfig.dataset)


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f}"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of texts as lines of columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
