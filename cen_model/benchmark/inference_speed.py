# SPDX-License-Identifier: Apache-2.0
"""How fast networks label frames, against the way the paper's code runs them, in one run on one machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch

from cen_model import checkpoint
from cen_model.benchmark.contestant import ENDED, Contestant, in_turn, ratio
from cen_model.benchmark.deployed import REFERENCE, Deployed
from cen_model.benchmark.machine import describe, matmul_ceiling, precisions
from cen_model.benchmark.reference import exchange_a_third
from cen_model.deploy.backends.selection import BACKENDS
from cen_model.deploy.frame import Frame, FrameConfig
from cen_model.deploy.graph import export, work
from cen_model.deploy.precision import DTYPES
from cen_model.deploy.simplify import simplify
from cen_model.models import build
from cen_model.registry import REGISTRY
from cen_model.utils.files import find_weights

NONE = "none"
_SECONDS_PER_ROUND = 1.0


@dataclass(frozen=True)
class Row:
    """One way to run one network.

    Attributes:
        median, p95: seconds from arrays to labels.
        ratio: median over the rounds of the reference's time by this one's; the two are timed in turn. None where the
            reference did not run: the published code has neither single modalities nor fusion modules.
        gflop: of the network as it was trained, and of what is run after rewriting.
        ceiling_share: of the machine's fastest matrix product in that precision, reached on the FLOPs that are run.
        peak_memory: bytes of the process, or on a GPU of its tensors.
        build_seconds: from the checkpoint to the first labels.
        agreement: share of the pixels that are labeled as by the network itself, in float32; None where that failed.
        failure: why it could not be run.
    """

    network: str
    backend: str
    precision: str
    branch: str
    median: float = 0.0
    p95: float = 0.0
    ratio: float | None = None
    gflop: tuple[float, float] = (0.0, 0.0)
    ceiling_share: float = 0.0
    peak_memory: int = 0
    build_seconds: float = 0.0
    agreement: float | None = None
    failure: str = ""


@dataclass(frozen=True)
class Results:
    """Rows, and what they were measured on."""

    sensor: tuple[int, int]
    machine: dict[str, str]
    ceilings: dict[str, float]
    rows: list[Row]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)


def measure_inference(
    networks: Sequence[str], sensor: tuple[int, int], device: str, backends: Sequence[str], rounds: int
) -> Results:
    """Measure every backend that can be used on each network.

    Args:
        networks: names of the registry, which get a third of their channels in scope exchanged, or of weights or their
            files.
        sensor: (height, width) of the images, in pixels.
        backends: names. "none", the network as it was trained, is measured in any case: it is what labels are compared
            with.
        rounds: in each, every contestant is timed for about a second, and the reference for one frame at least.
    """
    ceilings = {precision: matmul_ceiling(DTYPES[precision], device) for precision in precisions(device)}
    rows: list[Row] = []
    with TemporaryDirectory() as folder:
        for name in networks:
            weights = _weights(name, Path(folder))
            entries = _entries(weights, sensor, device, backends, Path(folder) / "engines")
            rows += _compete(name, entries, ceilings, rounds)
    return Results(sensor, describe(device), ceilings, rows)


def _weights(name: str, folder: Path) -> Path:
    if name not in REGISTRY:
        return find_weights(name)
    torch.manual_seed(0)
    path = folder / f"{name}.safetensors"
    checkpoint.save(path, exchange_a_third(build(replace(REGISTRY[name], encoder_weights=None)), seed=0))
    return path


def _entries(
    weights: Path, sensor: tuple[int, int], device: str, backends: Sequence[str], cache: Path
) -> Iterator[Deployed]:
    yield Deployed(weights, REFERENCE, "fp32", "ensemble", sensor, device, cache)
    kind = torch.device(device)
    streams = checkpoint.load(weights).config.streams
    for name in dict.fromkeys((NONE, *backends)):
        if name in BACKENDS and BACKENDS[name].unavailable(kind):
            print(f"without {name}: {BACKENDS[name].unavailable(kind)}", file=sys.stderr)
            continue
        known = BACKENDS[name].precisions.get(kind.type, ()) if name in BACKENDS else ("fp32",)
        for precision in (each for each in precisions(device) if each in known):
            for branch in ("ensemble", *(["rgb"] if "rgb" in streams else [])):
                yield Deployed(weights, name, precision, branch, sensor, device, cache)


def _compete(name: str, entries: Iterator[Deployed], ceilings: dict[str, float], rounds: int) -> list[Row]:
    rows: list[Row] = []
    with ExitStack() as stack:
        ready: list[Contestant] = []
        for entry in entries:
            print(f"{name}: preparing {entry.backend} {entry.precision} {entry.branch}", file=sys.stderr)
            try:
                ready.append(stack.enter_context(Contestant(entry)))
            except RuntimeError as error:
                rows.append(Row(name, entry.backend, entry.precision, entry.branch, failure=str(error)))
        times = in_turn(ready, rounds, _SECONDS_PER_ROUND)
        memory = [each.peak_memory() if own else 0 for each, own in zip(ready, times, strict=True)]
    # The processes have ended: together they hold much of the machine's memory.
    reference = next((own for each, own in zip(ready, times, strict=True) if each.entry.backend == REFERENCE), [])
    own_labels = {each.entry.branch: each.readiness.answer for each in ready if each.entry.backend == NONE}
    for contestant, rounds_of_one, peak in zip(ready, times, memory, strict=True):
        row = _row(name, contestant, rounds_of_one, reference, own_labels, ceilings)
        rows.append(replace(row, peak_memory=peak))
    return rows


def _row(
    name: str,
    contestant: Contestant,
    times: Sequence[Sequence[float]],
    reference: Sequence[Sequence[float]],
    own_labels: dict[str, np.ndarray],
    ceilings: dict[str, float],
) -> Row:
    entry = contestant.entry
    if not times:
        return Row(name, entry.backend, entry.precision, entry.branch, failure=ENDED)
    frames = [seconds for each in times for seconds in each]
    before, after = _gflop(entry)
    own = own_labels.get(entry.branch)
    return Row(
        network=name,
        backend=entry.backend,
        precision=entry.precision,
        branch=entry.branch,
        median=median(frames),
        p95=float(np.percentile(frames, 95)),
        ratio=ratio(reference, times) if reference else None,
        gflop=(before, after),
        ceiling_share=1e9 * after / median(frames) / ceilings[entry.precision],
        build_seconds=contestant.readiness.build_seconds,
        agreement=None if own is None else float((contestant.readiness.answer == own).mean()),
    )


def _gflop(entry: Deployed) -> tuple[float, float]:
    """Before and after rewriting."""
    model = checkpoint.load(entry.weights)
    frame = Frame(model, FrameConfig.of(model.config, entry.sensor, branch=entry.branch))
    graph_module = export(frame, frame.example())
    before = work(graph_module).flops
    if entry.backend in BACKENDS:
        simplify(graph_module, frame.example(), BACKENDS[entry.backend].passes[torch.device(entry.device).type])
    return before / 1e9, work(graph_module).flops / 1e9
