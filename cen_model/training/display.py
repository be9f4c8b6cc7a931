# SPDX-License-Identifier: Apache-2.0
"""What a run shows on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from torch import Tensor

from cen_model.evaluation.metrics import Measured, Scores
from cen_model.training.run_config import AnyTrainConfig, plain
from cen_model.training.task import Task

LINE_EVERY = 60.0
"""Seconds between the lines that are printed where there is no terminal."""


class Bar:
    """The progress bar of a run: steps, time left, loss, share of exchanged channels."""

    def __init__(self, progress: Progress, steps: range) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=steps.stop, completed=steps.start, state="")

    def update(self, step: int, terms: Mapping[str, Tensor], share: float | None) -> None:
        """A step is done; now and then, with the share, the loss is read too."""
        shown = {} if share is None else {"state": _state(terms, share)}
        self._progress.update(self._task, completed=step, **shown)

    def print(self, line: str) -> None:
        if not self._progress.disable:
            self._progress.console.print(line, soft_wrap=True)


class Lines:
    """The progress of a run as a line a minute: what a bar shows, and the speed."""

    def __init__(self, console: Console, steps: range) -> None:
        self._console, self._end = console, steps.stop
        self._step, self._printed_at = steps.start, time.monotonic()

    def update(self, step: int, terms: Mapping[str, Tensor], share: float | None) -> None:
        """A step is done; only with the share, the loss may be read."""
        seconds = time.monotonic() - self._printed_at
        if share is None or seconds < LINE_EVERY:
            return
        speed = (step - self._step) / seconds
        left = timedelta(seconds=round((self._end - step) / speed))
        self.print(f"step {step} of {self._end}  {_state(terms, share)}  {speed:.2f} steps/s  {left} left")
        self._step, self._printed_at = step, time.monotonic()

    def print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)


@contextmanager
def bar(console: Console, steps: range, shown: bool) -> Iterator[Bar | Lines]:
    """Yield a bar, or lines where there is no terminal; only one process shows it."""
    if shown and not console.is_terminal:
        yield Lines(console, steps)
        return
    columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[state]}")
    with Progress(*columns, console=console, disable=not shown) as progress:
        yield Bar(progress, steps)


def line(epoch: int, terms: Mapping[str, Tensor], scores: Measured, share: float) -> str:
    """An epoch in one line."""
    shown = "  ".join(f"{name} {value:.3f}" for name, value in leading(scores).items())
    return f"epoch {epoch:3d}  loss {_sum(terms):.3f}  {shown}  exchanged {share:.0%}"


def _state(terms: Mapping[str, Tensor], share: float) -> str:
    return f"loss {_sum(terms):.3f}  exchanged {share:.0%}"


def _sum(terms: Mapping[str, Tensor]) -> float:
    return sum(term.item() for term in terms.values())


def leading(scores: Measured) -> dict[str, float]:
    """The score of every output that is shown first: mean IoU, or MAE."""
    return {name: each.mean_iou if isinstance(each, Scores) else each.mae for name, each in scores.items()}


def print_plan(console: Console, config: AnyTrainConfig, task: Task, frames: int, epoch_steps: int) -> None:
    """The resolved configuration, the parameter groups and the steps of a run."""
    console.print(yaml.safe_dump(plain(asdict(config)), sort_keys=False), soft_wrap=True)
    table = Table("parameter group", "parameters", "learning rate", "weight decay")
    for name, optimizer in task.optimizers.items():
        for group in optimizer.param_groups:
            count = sum(parameter.numel() for parameter in group["params"])
            table.add_row(
                f"{name}: {group['part']}", f"{count:,}", f"{group['initial_lr']:g}", f"{group['weight_decay']:g}"
            )
    console.print(table)
    epochs = config.schedule.epochs
    console.print(
        f"{frames} training frames, {epoch_steps} steps an epoch, {epochs} epochs, {epochs * epoch_steps} steps"
    )
