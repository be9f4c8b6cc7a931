# SPDX-License-Identifier: Apache-2.0
"""Comparisons of networks: the runs of an experiment within a time budget.

A configuration is a YAML file:

    base: ../train/nyudv2-small.yaml      # a training configuration
    overrides: [schedule.epochs=20]       # of all rows
    seeds: [0, 1, 2]
    rows:                                 # by name, the overrides of each
      cen: []
      rgb: ["model.modalities=[rgb]", model.exchange=null]

Every row is trained with the first seed, then with the second, and so on, each run in a process of its own. When the
time is over, or this is interrupted, the run at work is asked to stop, and saves; the same command goes on from there.
After every run the table is written anew, as JSON and as Markdown.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from cen_model.evaluation.results import RESULTS
from cen_model.experiments.experiment_table import folder_of, write_tables
from cen_model.training.config_changes import refuse_changes
from cen_model.training.run_config import parse, plain
from cen_model.utils.files import find_configuration
from cen_model.utils.validation import unknown

TRAIN = (sys.executable, "-m", "cen_model.train")

PATIENCE = 600.0
"""Seconds that a run has to save itself once it is asked to stop."""

# A run that has not yet begun to listen ends by the signal itself.
_OUTCOMES = {0: "finished", 130: "stopped", -signal.SIGINT: "stopped", -signal.SIGKILL: "killed"}


@dataclass(frozen=True)
class Experiment:
    """What is compared, and how."""

    base: Path
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: dict[str, tuple[str, ...]]

    @classmethod
    def read(cls, path: Path) -> Experiment:
        """Read a configuration. Raises FileNotFoundError, or ValueError that names the key that is wrong."""
        path = find_configuration(path)
        try:
            described = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ValueError(f"{path}: not YAML: {error}") from error
        keys = ("base", "overrides", "seeds", "rows")
        if not isinstance(described, dict) or not isinstance(described.get("rows"), dict):
            raise ValueError(f"{path}: expected the keys {', '.join(keys)}, with names and overrides under rows")
        for key in described:
            if key not in keys:
                raise unknown(f"{path}: the key", key, keys)
        if not isinstance(described.get("base"), str):
            raise ValueError(f"{path}: base: expected a training configuration's file, got {described.get('base')!r}")
        base = _base(path, described["base"])
        overrides = _overrides(described.get("overrides"), f"{path}: overrides")
        rows = {str(name): _overrides(own, f"{path}: rows: {name}") for name, own in described["rows"].items()}
        return cls(base, overrides, _seeds(described.get("seeds", [0]), f"{path}: seeds"), rows)

    def runs(self) -> list[tuple[str, int]]:
        """Rows with their seeds, in the order in which they are trained."""
        return [(row, seed) for seed in self.seeds for row in self.rows]

    def arguments(self, row: str, seed: int, folder: Path, further: Sequence[str]) -> list[str]:
        """Of the training command of a run."""
        overrides = [*self.overrides, *self.rows[row], *further, f"seed={seed}", f"output={folder}"]
        return ["--config", str(self.base), *overrides]


def _base(path: Path, described: str) -> Path:
    beside = path.parent / described
    try:
        return beside if beside.is_file() else find_configuration(described)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: base: {beside} is not there; {error}") from error


def _overrides(value: Any, place: str) -> tuple[str, ...]:
    """Of a list, of a single one, or of none at all."""
    texts = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{place}: expected overrides such as [schedule.epochs=3], got {value!r}")
    return tuple(texts)


def _seeds(value: Any, place: str) -> tuple[int, ...]:
    seeds = value if isinstance(value, list) else [value]
    if not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):  # True is an int as well
        raise ValueError(f"{place}: expected integers from 0, such as [0, 1, 2], got {value!r}")
    return tuple(seeds)


def train(command: Sequence[str], log: Path, until: float, patience: float = PATIENCE) -> str:
    """Run a training until it ends or the time is over: "finished", "stopped", "killed" or "failed".

    Where it does not save itself in `patience` seconds it is killed, which costs what it did since its last save.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        # A group of its own, of which nothing is left where it has to be killed: the run may be several processes.
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "200"},
            start_new_session=True,
        )
        try:
            code = process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            code = _stop(process, patience)
        except KeyboardInterrupt:
            _stop(process, patience)
            raise
    return _OUTCOMES.get(code, "failed")


def _stop(process: subprocess.Popen[bytes], patience: float) -> int:
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def run(experiment: Experiment, output: Path, further: Sequence[str], minutes: float, table: Path) -> bool:
    """Train what is not trained yet, as long as there is time; then returns whether everything is.

    A run that fails does not keep the others from being trained. One that ended with fewer epochs goes on.

    Args:
        further: training keys of all rows, after the configuration's own.
        table: file to write, without its endings.

    Raises:
        ValueError: before anything is trained, naming a run that was trained under another configuration; at the end,
            naming the runs that failed.
    """
    console, until, failed = Console(highlight=False, markup=False), time.monotonic() + 60 * minutes, []
    runs = {
        folder_of(output, row, seed): experiment.arguments(row, seed, folder_of(output, row, seed), further)
        for row, seed in experiment.runs()
    }
    finished = {folder for folder, arguments in runs.items() if _is_finished(folder, arguments)}
    for folder, arguments in runs.items():
        if folder not in finished and time.monotonic() < until:
            console.print(f"training {folder}", soft_wrap=True)
            outcome = train([*TRAIN, *arguments], folder / "log.txt", until)
            if outcome in ("failed", "killed"):
                console.print(f"{outcome}: see {folder / 'log.txt'}", soft_wrap=True)
                failed.append(folder.name)
            if outcome == "finished":
                finished.add(folder)
            write_tables(experiment.rows, experiment.seeds, output, table)
    write_tables(experiment.rows, experiment.seeds, output, table)
    if failed:
        raise ValueError(f"{', '.join(failed)} did not end as they should; see log.txt in their folders in {output}")
    return finished == runs.keys()


def _is_finished(folder: Path, arguments: Sequence[str]) -> bool:
    """Whether a run was trained to the end that is asked for. Raises ValueError where it was trained otherwise."""
    if not (folder / RESULTS).is_file():
        return False
    trained = json.loads((folder / RESULTS).read_text(encoding="utf-8"))["config"]
    wanted = plain(asdict(parse(arguments)))
    refuse_changes(trained, wanted, folder / RESULTS)
    return trained["schedule"]["epochs"] >= wanted["schedule"]["epochs"]
