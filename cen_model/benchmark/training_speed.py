# SPDX-License-Identifier: Apache-2.0
"""How fast networks train, against the published way of computing, in one run on one machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import product
from statistics import median
from time import perf_counter

from cen_model.benchmark.contestant import ENDED, Contestant, in_turn, ratio
from cen_model.benchmark.machine import describe, matmul_ceiling, precisions
from cen_model.benchmark.training_step import TrainingEntry, flops
from cen_model.data.data_config import DataConfig
from cen_model.data.dataset import Dataset
from cen_model.data.loaders import training_loader
from cen_model.deploy.precision import DTYPES


@dataclass(frozen=True)
class TrainingRow:
    """One way to train one network.

    Attributes:
        median: seconds of a step.
        images: samples a second, each of all modalities.
        ratio: median over the rounds of the reference's time by this one's; the two are timed in turn.
        ceiling_share: of the machine's fastest matrix product in that precision, on the FLOPs of a step.
        peak_memory: bytes of the process, or on a GPU of its tensors.
        memory_ratio: of it by the reference's.
        loss: of the first step.
        failure: why it could not be run.
    """

    name: str
    precision: str
    median: float = 0.0
    images: float = 0.0
    ratio: float = 0.0
    ceiling_share: float = 0.0
    peak_memory: int = 0
    memory_ratio: float = 0.0
    loss: float = 0.0
    failure: str = ""


@dataclass(frozen=True)
class LoaderRow:
    """The loader on its own.

    Attributes:
        images: samples a second.
        ratio: of that by what the fastest of the contestants trains on in a second.
    """

    workers: int
    on_device: bool
    images: float
    ratio: float = 0.0


@dataclass(frozen=True)
class TrainingResults:
    """Rows, and what they were measured on.

    Attributes:
        gflop: of a step.
        data: that the loaders read, and how.
    """

    setting: TrainingEntry
    machine: dict[str, str]
    ceilings: dict[str, float]
    gflop: float
    rows: list[TrainingRow]
    loaders: list[LoaderRow]
    data: DataConfig

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, default=str)  # data.root is a path


def measure_training(
    setting: TrainingEntry, rounds: int, compiled: bool, dataset: Dataset, loaders: Sequence[DataConfig]
) -> TrainingResults:
    """Measure every way that the machine has instructions for, and the loader.

    Args:
        setting: network, batch, size and device of all.
        rounds: in each, every contestant takes one step at least.
        compiled: torch.compile takes part, too.
        dataset: that loaders read.
        loaders: their configurations, one or more, which differ in workers and place alone.
    """
    ceilings = {name: matmul_ceiling(DTYPES[name], setting.device) for name in _precisions(setting)}
    work = flops(setting)
    rows = _compete(list(entries(setting, compiled)), rounds, work, ceilings)
    fastest = max((row.images for row in rows), default=0.0)
    loader_rows = [loader_speed(dataset, data, setting) for data in loaders]
    fed = [replace(row, ratio=row.images / fastest if fastest else 0.0) for row in loader_rows]
    return TrainingResults(setting, describe(setting.device), ceilings, work / 1e9, rows, fed, loaders[0])


def entries(setting: TrainingEntry, compiled: bool) -> Iterator[TrainingEntry]:
    """The reference, then every other way."""
    yield replace(setting, way="published", precision="fp32")
    for precision in _precisions(setting):
        for way, layout in product(("ours", "frugal"), (False, True)):
            yield replace(setting, way=way, precision=precision, channels_last=layout)
        if compiled:
            yield replace(setting, way="ours", precision=precision, channels_last=True, compiled=True)


def loader_speed(dataset: Dataset, data: DataConfig, setting: TrainingEntry, batches: int = 12) -> LoaderRow:
    """Samples a second, after the first two batches."""
    steps = range(batches)
    modalities = setting.network.modalities
    loader = iter(training_loader(dataset, data, modalities, setting.batch, 0, steps, setting.device))
    for _ in range(2):
        next(loader)
    start = perf_counter()
    samples = sum(len(batch["index"]) for batch in loader)
    return LoaderRow(data.workers, data.on_device, samples / (perf_counter() - start))


def _precisions(setting: TrainingEntry) -> list[str]:
    return [name for name in precisions(setting.device) if name != "fp16"]  # which would need its losses scaled


def _compete(
    contestants: Sequence[TrainingEntry], rounds: int, work: int, ceilings: dict[str, float]
) -> list[TrainingRow]:
    failures: list[TrainingRow] = []
    with ExitStack() as stack:
        ready: list[Contestant] = []
        for entry in contestants:
            print(f"preparing {entry.name} {entry.precision}", file=sys.stderr)
            try:
                ready.append(stack.enter_context(Contestant(entry)))
            except RuntimeError as error:
                failures.append(TrainingRow(entry.name, entry.precision, failure=str(error)))
        if not ready or ready[0].entry.way != "published":
            return failures
        times = in_turn(ready, rounds, seconds=1.0)
        memory = [each.peak_memory() if own else 0 for each, own in zip(ready, times, strict=True)]
    rows = []
    for contestant, own, peak in zip(ready, times, memory, strict=True):
        entry = contestant.entry
        if not own:
            failures.append(TrainingRow(entry.name, entry.precision, failure=ENDED))
        if not own or not times[0]:
            continue
        step = median(seconds for turns in own for seconds in turns)
        rows.append(
            TrainingRow(
                name=entry.name,
                precision=entry.precision,
                median=step,
                images=entry.batch / step,
                ratio=ratio(times[0], own),
                ceiling_share=work / step / ceilings[entry.precision],
                peak_memory=peak,
                memory_ratio=peak / memory[0],
                loss=contestant.readiness.answer,
            )
        )
    return rows + failures
