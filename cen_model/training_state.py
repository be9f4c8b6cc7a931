# SPDX-License-Identifier: Apache-2.0
"""What a training run needs to continue (on a CPU bit for bit), in one file, and the wish to stop it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

import torch
from torch import nn

from cen_model.files import write_atomically
from cen_model.train_config import TrainConfig, refuse_changes


@dataclass
class RunProgress:
    """How far a run has come."""

    step: int = 0
    """Training steps taken."""
    best_mean_iou: float = -1.0
    """Of the ensemble, over all validations so far."""


def save_state(
    path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, progress: RunProgress, config: TrainConfig
) -> None:
    """Write everything atomically into one file, so that weights and momentum are always of the same step."""
    state = {
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "progress": vars(progress),
        "config": asdict(config),
        "rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all(),
    }
    write_atomically(path, lambda temporary: torch.save(state, temporary))


def load_state(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, config: TrainConfig) -> RunProgress:
    """Restore what `save_state` wrote.

    Raises:
        FileNotFoundError: there is nothing to continue.
        ValueError: the state is of another network, or was reached under another configuration.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no training state to continue; start without resume=true")
    state = torch.load(path, map_location="cpu", weights_only=True)
    refuse_changes(state["config"], asdict(config), path)
    try:
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path}: the training state is of another network or optimiser: {error}") from error
    torch.set_rng_state(state["rng"])
    if state["cuda_rng"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda_rng"])
    return RunProgress(**state["progress"])


class StopRequest:
    """Whether somebody has asked the run to stop."""

    requested = False

    def ask(self, signum: int, frame: FrameType | None) -> None:
        self.requested = True


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Turn Ctrl-C and SIGTERM into a request: a step is finished and saved, never torn in two."""
    request = StopRequest()
    previous = {number: signal.signal(number, request.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
