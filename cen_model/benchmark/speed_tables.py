# SPDX-License-Identifier: Apache-2.0
"""Measurements for people: Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cen_model.benchmark.inference_speed import Results, Row
from cen_model.benchmark.training_speed import LoaderRow, TrainingResults, TrainingRow
from cen_model.data.data_config import DataConfig

_HEADER = (
    *("network", "backend", "precision", "branch", "median (ms)", "p95 (ms)", "frames/s", "times the reference"),
    *("GFLOP", "GFLOP run", "of the ceiling", "peak memory (MB)", "build (s)", "labels as the network's own"),
)
_TRAINING_HEADER = (
    *("way", "precision", "step (s)", "images/s", "times the reference", "of the ceiling"),
    *("peak memory (MB)", "of the reference's", "first loss"),
)
_LOADER_HEADER = ("loader", "workers", "images/s", "times what the fastest trains on")


def markdown(results: Results, command: str) -> str:
    """Everything that was measured, on what, and the command that measures it."""
    height, width = results.sensor
    lines = [
        *_top(f"Inference at {height}×{width}, batch 1", command, results),
        "",
        "From uint8 RGB and uint16 depth arrays to uint8 labels of the sensor's size. *published* is the way the",
        "paper's code runs the network, a list of tensors layer by layer, eager, in float32: the reference. *none* is",
        "this project's network as it is trained. Contestants are timed in turn in one run, each in a process of its",
        "own; the ratio is the median over the rounds. Networks of the registry have random weights and, of the",
        "channels in scope, a third of the γ below θ. FLOPs are of convolutions and matrix products.",
        "",
        *_table(_HEADER, 4, map(_cells, results.rows)),
        "",
    ]
    return "\n".join(lines)


def training_markdown(results: TrainingResults, command: str) -> str:
    """The same, of training."""
    setting = results.setting
    height, width = setting.size
    network = setting.network
    title = f"Training steps at {height}×{width}, batch {setting.batch}, {' and '.join(network.modalities)}"
    statistics = "running statistics" if setting.frozen else "the batch's statistics"
    lines = [
        *_top(title, command, results),
        "",
        f"{network.decoder} on {network.encoder}, {len(network.classes)} classes, BatchNorm with {statistics}: forward",
        f"pass, loss with penalty, backward pass, SGD with momentum; {results.gflop:.0f} GFLOP. *published* is the way",
        "the paper's code trains, every shared layer called once for each modality, eager, in float32: the reference.",
        "*ours* calls it once for all. *frugal* (`hardware.recompute`) is ours in less memory: the encoder is",
        "computed again in the backward pass, pooling keeps narrow indices, and large tensors' memory returns to the",
        "system at once. They step in turn in one run, each in a process of its own; the ratio is the median over the",
        "rounds. Memory is the process's peak, libraries, weights and momentum included. The trainer's layout is",
        "channels last.",
        "",
        *_table(_TRAINING_HEADER, 2, map(_training_cells, results.rows)),
        "",
        f"The loader alone, on the same machine while nothing trains; {_augmentation(results.data)}:",
        "",
        *_table(_LOADER_HEADER, 1, map(_loader_cells, results.loaders)),
        "",
    ]
    return "\n".join(lines)


def _augmentation(data: DataConfig) -> str:
    least, most = data.scale
    sides = f" (shorter side of at least {data.min_side})" if data.min_side else ""
    height, width = data.crop
    return (
        f"frames are scaled by {least:g} to {most:g}{sides}, cropped to {height}×{width}, mirrored with probability "
        f"{data.mirror:g}, and their colors jittered by {data.jitter:g}"
    )


def _top(title: str, command: str, results: Results | TrainingResults) -> list[str]:
    described = "; ".join(f"{name} {value}" for name, value in results.machine.items() if value)
    reached = ", ".join(f"{value / 1e9:.0f} GFLOP/s in {name}" for name, value in results.ceilings.items())
    missing = "" if "bf16" in results.ceilings else " It has no instructions for bfloat16, which is left out."
    fastest = f"The machine's ceiling, its fastest matrix product: {reached}.{missing}"
    return [f"# {title}", "", f"`{command}`", "", f"{described}.", fastest]


def _training_cells(row: TrainingRow) -> list[str]:
    if row.failure:
        return _failed([row.name, row.precision], row.failure, _TRAINING_HEADER)
    return [
        row.name,
        row.precision,
        f"{row.median:.2f}",
        f"{row.images:.2f}",
        f"{row.ratio:.2f}",
        f"{row.ceiling_share:.0%}",
        f"{row.peak_memory / 1e6:.0f}",
        f"{row.memory_ratio:.2f}",
        f"{row.loss:.4f}",
    ]


def _loader_cells(row: LoaderRow) -> list[str]:
    kind = "on the device" if row.on_device else "from the dataset"
    return [kind, str(row.workers), f"{row.images:.0f}", f"{row.ratio:.0f}"]


def _cells(row: Row) -> list[str]:
    names = [row.network, row.backend, row.precision, row.branch]
    if row.failure:
        return _failed(names, row.failure, _HEADER)
    return [
        *names,
        f"{1000 * row.median:.1f}",
        f"{1000 * row.p95:.1f}",
        f"{1 / row.median:.1f}",
        "-" if row.ratio is None else f"{row.ratio:.2f}",
        f"{row.gflop[0]:.1f}",
        f"{row.gflop[1]:.1f}",
        f"{row.ceiling_share:.0%}",
        f"{row.peak_memory / 1e6:.0f}",
        f"{row.build_seconds:.0f}",
        "-" if row.agreement is None else f"{100 * row.agreement:.2f} %",
    ]


def _failed(names: list[str], failure: str, header: Sequence[str]) -> list[str]:
    return [*names, f"failed: {failure.splitlines()[0]}", *[""] * (len(header) - len(names) - 1)]


def _table(header: Sequence[str], names: int, rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table whose first columns are names, and the others numbers."""
    rules = ["---"] * names + ["---:"] * (len(header) - names)
    return [f"| {' | '.join(cells)} |" for cells in (header, rules, *rows)]
