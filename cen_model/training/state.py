# SPDX-License-Identifier: Apache-2.0
"""What a training run needs to continue (on a CPU bit for bit), in one file, and the wish to stop it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.fabric import Fabric
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from cen_model.config import rename_keys
from cen_model.training.config_changes import refuse_changes
from cen_model.training.run_config import AnyTrainConfig, plain
from cen_model.training.task import Task
from cen_model.utils.files import write_bytes_atomically
from cen_model.utils.process_settings import answered
from cen_model.utils.ranks import Ranks

# Whole, however the processes share it: a run can be continued by another number of them.
_SAVED = StateDictOptions(full_state_dict=True, cpu_offload=True)
_LOADED = StateDictOptions(full_state_dict=True)
_PARTIAL = StateDictOptions(full_state_dict=True, strict=False)
"""Weights that never had a gradient have no state in an optimizer."""


@dataclass
class RunProgress:
    """How far a run has come."""

    step: int = 0
    """Training steps taken."""
    best: float = float("-inf")
    """Of all validations so far, as the task's `goodness` has it."""
    best_step: int = 0
    """When that was."""
    validated: int = 0
    """The latest of them, by its step."""
    seconds: float = 0.0
    """Spent on it so far."""


def save_state(path: Path, task: Task, progress: RunProgress, config: AnyTrainConfig, fabric: Fabric) -> None:
    """Write everything atomically into one file, so that weights and momentum are always of the same step.

    Called by every process; the first one writes.
    """
    on_gpu = fabric.device.type == "cuda"
    rng = Ranks.current().each((torch.get_rng_state(), torch.cuda.get_rng_state(fabric.device) if on_gpu else None))
    optimizers = task.optimizers.items()
    state = {
        "modules": {name: get_model_state_dict(module, options=_SAVED) for name, module in task.modules.items()},
        "optimizers": {
            name: get_optimizer_state_dict(task.modules[name], each, options=_SAVED) for name, each in optimizers
        },
        "average": task.average.state_dict() if task.average else None,
        "precision": fabric.strategy.precision.state_dict(),
        "progress": vars(progress),
        "config": plain(asdict(config)),
        "rng": [each for each, _ in rng],
        "cuda_rng": [each for _, each in rng],
    }
    if fabric.is_global_zero:
        # By way of memory: torch.save itself makes of a full disk an error that does not say so.
        serialized = BytesIO()
        torch.save(state, serialized)
        write_bytes_atomically(path, serialized.getbuffer())


def load_state(path: Path, task: Task, config: AnyTrainConfig, fabric: Fabric) -> RunProgress:
    """Restore what `save_state` wrote.

    Raises:
        ValueError: the state is damaged, of another network, or was reached under another configuration.
    """
    state = _read(path)
    refuse_changes(state["config"], plain(asdict(config)), path)
    if any(isinstance(key, int) for each in state["optimizers"].values() for key in each["state"]):
        raise ValueError(f"{path}: an earlier version wrote it, by numbers of weights; move it away to begin anew")
    try:
        for name, module in task.modules.items():
            set_model_state_dict(module, state["modules"][name], options=_LOADED)
            set_optimizer_state_dict(module, task.optimizers[name], state["optimizers"][name], options=_PARTIAL)
        if task.average:
            task.average.load_state_dict(state["average"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(f"{path}: the training state is of another network or optimizer: {error}") from error
    fabric.strategy.precision.load_state_dict(state["precision"])
    if fabric.global_rank < len(state["rng"]):
        torch.set_rng_state(state["rng"][fabric.global_rank])
        gpu = state["cuda_rng"][fabric.global_rank]
        if gpu is not None and fabric.device.type == "cuda":
            torch.cuda.set_rng_state(gpu, fabric.device)
    return RunProgress(**state["progress"])


def _read(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file leads to
        raise ValueError(f"{path}: the training state cannot be read ({error}); move it away to begin anew") from error
    return rename_keys(state)


class StopRequest:
    """Whether somebody has asked the run to stop."""

    requested = False

    def ask(self, signum: int, frame: FrameType | None) -> None:
        self.requested = True


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Turn Ctrl-C, SIGTERM and SIGHUP into a request: a step is finished and saved, never torn in two."""
    request = StopRequest()
    with answered(request.ask):
        yield request
