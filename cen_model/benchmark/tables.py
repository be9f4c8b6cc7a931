# SPDX-License-Identifier: Apache-2.0
"""Measurements for people: Markdown."""

from __future__ import annotations

from cen_model.benchmark.inference import Results, Row

_HEADER = (
    *("network", "backend", "precision", "branch", "median (ms)", "p95 (ms)", "frames/s", "times the reference"),
    *("GFLOP", "GFLOP run", "of the ceiling", "peak memory (MB)", "build (s)", "labels as the network's own"),
)


def markdown(results: Results, command: str) -> str:
    """Everything that was measured, on what, and the command that measures it."""
    height, width = results.sensor
    machine = "; ".join(f"{name} {value}" for name, value in results.machine.items() if value)
    ceilings = ", ".join(f"{value / 1e9:.0f} GFLOP/s in {name}" for name, value in results.ceilings.items())
    lines = [
        f"# Inference at {height}×{width}, batch 1",
        "",
        f"`{command}`",
        "",
        f"{machine}.",
        f"The machine's ceiling, its fastest matrix product: {ceilings}.",
        "",
        "From uint8 RGB and uint16 depth arrays to uint8 labels of the sensor's size. *published* is the way the",
        "paper's code runs the network, a list of tensors layer by layer, eager, in float32: the reference. *none* is",
        "this project's network as it is trained. Contestants are timed in turn in one run, each in a process of its",
        "own; the ratio is the median over the rounds. Networks of the registry have random weights and a third of",
        "their γ below θ. FLOPs are of convolutions and matrix products.",
        "",
        _line(_HEADER),
        _line(["---"] * 4 + ["---:"] * (len(_HEADER) - 4)),
        *(_line(_cells(row)) for row in results.rows),
        "",
    ]
    return "\n".join(lines)


def _cells(row: Row) -> list[str]:
    names = [row.network, row.backend, row.precision, row.branch]
    if row.failure:
        return [*names, f"failed: {row.failure.splitlines()[0]}", *[""] * (len(_HEADER) - 5)]
    return [
        *names,
        f"{1000 * row.median:.1f}",
        f"{1000 * row.p95:.1f}",
        f"{1 / row.median:.1f}",
        f"{row.ratio:.2f}",
        f"{row.gflop[0]:.1f}",
        f"{row.gflop[1]:.1f}",
        f"{row.ceiling_share:.0%}",
        f"{row.peak_memory / 1e6:.0f}",
        f"{row.build_seconds:.0f}",
        f"{100 * row.agreement:.2f} %",
    ]


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
