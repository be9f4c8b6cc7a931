# SPDX-License-Identifier: Apache-2.0
"""The table of an experiment, from what its runs left: JSON for programs, Markdown for people."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cen_model.evaluation.results import RESULTS
from cen_model.utils.files import write_json_atomically, write_text_atomically

PROTOCOL = ("data", "optimizer", "exchange", "schedule", "hardware")
"""Sections of a training configuration that rows are supposed to have in common."""


def folder_of(output: Path, row: str, seed: int) -> Path:
    """Of a run."""
    return output / f"{row}-{seed}"


def write_tables(rows: Iterable[str], seeds: Sequence[int], output: Path, table: Path) -> None:
    """Write TABLE.json, every result, and TABLE.md, means over the seeds that are finished."""
    runs = {row: [_read(folder_of(output, row, seed) / RESULTS) for seed in seeds] for row in rows}
    finished = {row: [each for each in results if each is not None] for row, results in runs.items()}
    write_json_atomically(table.with_name(f"{table.name}.json"), finished)
    text = markdown(finished, len(seeds))
    write_text_atomically(table.with_name(f"{table.name}.md"), text)


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def markdown(runs: Mapping[str, Sequence[Mapping[str, Any]]], seeds: int) -> str:
    """A row for each network: the scores of every output, mean ± standard deviation over the seeds.

    Segmentation: mean IoU and pixel accuracy in per cent. Translation: MAE of images in [-1, 1].

    Args:
        runs: contents of results.json by row, those of finished runs.
        seeds: how many runs of each row there are to be.
    """
    finished = [each for results in runs.values() for each in results]
    columns = _columns(finished)
    header = ["network", *columns, "exchanged of those in scope", "parameters", "seeds", "time"]
    lines = [_line(header), _line(["---", *["---:"] * (len(header) - 1)])]
    for row, results in runs.items():
        if not results:
            lines.append(_line([row, *["-"] * (len(columns) + 2), f"0 of {seeds}", "-"]))
            continue
        scores = [
            _spread([value for each in results if (value := score(each)) is not None]) for score in columns.values()
        ]
        lines.append(_line([row, *scores, *_costs(results, seeds)]))
    return "\n".join([*_protocol(finished), *_differences(runs), *lines, ""])


def _columns(finished: Sequence[Mapping[str, Any]]) -> dict[str, Callable[[Mapping[str, Any]], float | None]]:
    """What is read of a result, by the column's title."""
    most_first = sorted(finished, key=lambda each: -len(each["scores"]))  # in the order of the network that has all
    outputs = dict.fromkeys(name for each in most_first for name in each["scores"] if name != "ensemble")
    if finished and "mae" in finished[0]["scores"]["ensemble"]:
        return {f"MAE {name}": _score(name, "mae", 1) for name in (*outputs, "ensemble")}
    ious = {f"mIoU {name}": _score(name, "mean_iou", 100) for name in (*outputs, "ensemble")}
    return {**ious, "pixel accuracy": _score("ensemble", "pixel_accuracy", 100)}


def _score(output: str, key: str, factor: float) -> Callable[[Mapping[str, Any]], float | None]:
    def score(result: Mapping[str, Any]) -> float | None:
        value = result["scores"].get(output, {}).get(key)
        return None if value is None else factor * value

    return score


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    digits = 1 if max(values) > 2 else 3  # per cent, or a difference of images
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def _costs(results: Sequence[Mapping[str, Any]], seeds: int) -> list[str]:
    shares = [100 * each["exchanged"] for each in results if each["exchanged"] is not None]
    return [
        f"{statistics.mean(shares):.0f} %" if shares else "-",
        f"{results[0]['parameters'] / 1e6:.2f} M",
        f"{', '.join(str(each['seed']) for each in results)} ({len(results)} of {seeds})",
        f"{statistics.mean(each['seconds'] for each in results) / 60:.0f} min",
    ]


def _protocol(finished: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the rows have in common, read off what the first was trained with."""
    if not finished:
        return ["Nothing is finished yet.", ""]
    first = finished[0]
    data, optimizer, exchange, schedule = (
        first["config"][part] for part in ("data", "optimizer", "exchange", "schedule")
    )
    every = (each["config"]["model"].get("exchange") for each in finished)
    thresholds = sorted({each["threshold"] for each in every if each})
    places = f"{', '.join(sorted({each['device'] for each in finished}))}; " + _commits(finished)
    return [
        " ".join(dict.fromkeys(_network(each["config"]["model"], each["scores"]["ensemble"]) for each in finished)),
        f"Data: {data['dataset']}, {Path(data['root']).name if data['root'] else 'rendered'}. "
        f"Frames of {_size(data['size'])}, scaled by {data['scale'][0]:g} to {data['scale'][1]:g}, crops of "
        f"{_size(data['crop'])}, mirrored with probability {data['mirror']:g}, color jitter {data['jitter']:g}.",
        f"{schedule['epochs']} epochs, {first['steps']} steps of {optimizer['batch']}; "
        f"{optimizer['kind']}, learning rates {optimizer['encoder_lr']:g} and {optimizer['decoder_lr']:g}, "
        f"{schedule['kind']}, weight decay {optimizer['weight_decay']:g}. Where there is exchange: λ "
        f"{exchange['penalty']:g}, θ {', '.join(f'{each:g}' for each in thresholds) or '-'}, γ from "
        f"{exchange['gamma_init'] or 'what the network has'}, with {exchange['lr_factor']:g} × the learning rate.",
        f"Measured on {first['frames']} test frames with the last weights; ± is the standard deviation over seeds. "
        f"{places}.",
        "",
    ]


def _network(model: Mapping[str, Any], scores: Mapping[str, Any]) -> str:
    if "encoder" not in model:
        return f"{' + '.join(model['modalities'])} → {model['target']}: U-Net, {model['filters']} filters."
    width = f" (width {model['decoder_width']})" if model["decoder_width"] else ""
    return (
        f"{model['encoder']} (width × {model['encoder_width']:g}) and {model['decoder']}{width}, "
        f"from {model['encoder_weights'] or 'random'} weights, {len(scores['iou'])} classes."
    )


def _commits(finished: Sequence[Mapping[str, Any]]) -> str:
    commits = sorted({str(each["commit"])[:12] for each in finished})
    return f"commit{'s' if len(commits) > 1 else ''} {', '.join(commits)}"


def _differences(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Runs that were not trained as the first: a sweep, or a configuration that was changed in between."""
    flat = [(row, each["seed"], _settings(each["config"])) for row, results in runs.items() for each in results]
    seeds = defaultdict(list)
    for row, seed, values in flat:
        first = flat[0][2]
        # A key that one of them does not know came with a later version, with a default that changes nothing.
        changed = [f"{key} {value}" for key, value in values.items() if key in first and value != first[key]]
        if changed:
            seeds[row, ", ".join(changed)].append(str(seed))
    lines = [
        f"Trained differently: {row}, seed{'s' if len(those) > 1 else ''} {', '.join(those)}: {changed}."
        for (row, changed), those in seeds.items()
    ]
    return [*lines, ""] if lines else []


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    sections = {f"{part}.{key}": value for part in PROTOCOL for key, value in config[part].items()}
    loose = {key: config[key] for key in ("ema", "label_smoothing", "loss_stride") if key in config}
    return {key: value for key, value in {**sections, **loose}.items() if key != "data.root"}


def _size(size: Sequence[int] | None) -> str:
    return "×".join(map(str, size)) if size else "full size"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
