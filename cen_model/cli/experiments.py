# SPDX-License-Identifier: Apache-2.0
"""`cen experiments CONFIG --minutes N [--root DATA]`: train a list of networks, and compare them."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import auto_cli, capture_parser
from rich.console import Console

from cen_model.cli.arguments import as_parsed
from cen_model.experiments.runner import Experiment, run
from cen_model.utils.process_settings import answered

EXAMPLE = "example: cen experiments config/experiments/nyudv2-scratch-cpu.yaml --root FOLDER --minutes 120"


def compare(
    experiment: Path,
    minutes: float = 60.0,
    root: Path | None = None,
    output: Path | None = None,
    table: Path | None = None,
    threads: int | None = None,
    override: list[str] = [],  # noqa: B006 - jsonargparse shows it; nothing changes it
) -> None:
    """Train and compare.

    Args:
        experiment: the configuration of what to compare.
        minutes: to spend now.
        root: the data, where the configuration leaves it open (data.root).
        output: folder of the runs; without it runs/ and its name.
        table: file to write, without its endings .json and .md; without it in the folder of the runs.
        threads: of the CPU, for each run; without it as many as there are.
        override: further training keys of all rows, such as hardware.devices=2.
    """
    output = output or Path("runs") / experiment.stem
    further = [*([f"data.root={root.absolute()}"] if root else []), *override]
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    if not run(Experiment.read(experiment), output, further, minutes, table or output / "table"):
        Console().print("not finished; the same command goes on")


def main(arguments: Sequence[str]) -> None:
    texts = {"prog": "cen experiments", "epilog": EXAMPLE}
    parsed = as_parsed(arguments, capture_parser(auto_cli, compare, **texts))
    with answered(signal.default_int_handler):  # nobody would stop the run at work otherwise
        auto_cli(compare, args=parsed, **texts)
