# SPDX-License-Identifier: Apache-2.0
"""The table of an experiment, from what its runs left: JSON for programs, Markdown for people."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cen_model.evaluation.results import RESULTS, save
from cen_model.files import write_atomically

OUTPUTS = ("rgb", "depth", "ensemble")


def write_tables(rows: Iterable[str], seeds: Sequence[int], output: Path, table: Path) -> None:
    """Write TABLE.json, every result, and TABLE.md, means over the seeds that are finished."""
    runs = {row: [_read(output / f"{row}-{seed}" / RESULTS) for seed in seeds] for row in rows}
    finished = {row: [each for each in results if each is not None] for row, results in runs.items()}
    save(table.with_name(f"{table.name}.json"), finished)
    text = markdown(finished, len(seeds))
    write_atomically(table.with_name(f"{table.name}.md"), lambda file: file.write_text(text, encoding="utf-8"))


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def markdown(runs: Mapping[str, Sequence[Mapping[str, Any]]], seeds: int) -> str:
    """A row for each network: mean IoU of every output in per cent, mean ± standard deviation over the seeds.

    Args:
        runs: contents of results.json by row, those of finished runs.
        seeds: how many runs of each row there are to be.
    """
    header = [
        "network",
        *(f"mIoU {name}" for name in OUTPUTS),
        "pixel accuracy",
        "exchanged",
        "parameters",
        "runs",
        "time",
    ]
    lines = [_line(header), _line(["---", *["---:"] * (len(header) - 1)])]
    for row, results in runs.items():
        if not results:
            lines.append(_line([row, *["-"] * 6, f"0 of {seeds}", "-"]))
            continue
        lines.append(_line([row, *_cells(results), f"{len(results)} of {seeds}", _minutes(results)]))
    return "\n".join([*_protocol(runs), *lines, ""])


def _cells(results: Sequence[Mapping[str, Any]]) -> list[str]:
    scores = [each["scores"] for each in results]
    ious = [_spread([100 * each[name]["mean_iou"] for each in scores if name in each]) for name in OUTPUTS]
    accuracy = _spread([100 * each["ensemble"]["pixel_accuracy"] for each in scores])
    shares = [100 * each["exchanged"] for each in results if each["exchanged"] is not None]
    exchanged = f"{statistics.mean(shares):.0f} %" if shares else "-"
    return [*ious, accuracy, exchanged, f"{results[0]['parameters'] / 1e6:.2f} M"]


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    mean = f"{statistics.mean(values):.1f}"
    return f"{mean} ± {statistics.stdev(values):.1f}" if len(values) > 1 else mean


def _minutes(results: Sequence[Mapping[str, Any]]) -> str:
    return f"{statistics.mean(each['seconds'] for each in results) / 60:.0f} min"


def _protocol(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """What all rows have in common, read off what they were trained with."""
    first = next((results[0] for results in runs.values() if results), None)
    if first is None:
        return []
    config, classes = first["config"], len(first["scores"]["ensemble"]["iou"])
    data, optimiser, exchange = (config[part] for part in ("data", "optimiser", "exchange"))
    model, schedule = config["model"], config["schedule"]
    return [
        f"{model['encoder']} (width × {model['encoder_width']:g}) and {model['decoder']} (width "
        f"{model['decoder_width']}), from {model['encoder_weights'] or 'random'} weights, {classes} classes.",
        f"Frames of {_size(data['size'])}, scaled by {data['scale'][0]:g} to {data['scale'][1]:g}, crops of "
        f"{_size(data['crop'])}; {schedule['epochs']} epochs, {first['steps']} steps of {optimiser['batch']}; "
        f"{optimiser['kind']}, learning rates {optimiser['encoder_lr']:g} and {optimiser['decoder_lr']:g}, "
        f"{schedule['kind']}; λ {exchange['penalty']:g}, γ from {exchange['gamma_init']}.",
        f"Measured on {first['frames']} test frames with the last weights; ± is the standard deviation over seeds. "
        f"{first['device']}, commit {first['commit']}.",
        "",
    ]


def _size(size: Sequence[int] | None) -> str:
    return "×".join(map(str, size)) if size else "full size"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
