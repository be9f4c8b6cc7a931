# SPDX-License-Identifier: Apache-2.0
"""The training loop: from a run's configuration to its weights, by way of what was interrupted before."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers import TensorBoardLogger
from rich.console import Console

from cen_model.data.catalog import open_dataset
from cen_model.data.data_config import Split
from cen_model.data.dataset import Dataset
from cen_model.data.loaders import training_loader
from cen_model.data.samples import steps_per_epoch
from cen_model.evaluation import score_tables
from cen_model.training import display
from cen_model.training.final_scores import finish
from cen_model.training.optimizer import set_learning_rates
from cen_model.training.run_config import AnyTrainConfig
from cen_model.training.run_folder import BEST, LAST, STATE, Run
from cen_model.training.segmentation_task import SegmentationTask
from cen_model.training.sentinel import Sentinel
from cen_model.training.sharding import strategy_of
from cen_model.training.state import stop_on_signal
from cen_model.training.translation_task import TranslationTask
from cen_model.utils import devices
from cen_model.utils.ranks import Ranks

LOG_EVERY = 10
TASKS = {"segmentation": SegmentationTask, "translation": TranslationTask}


def train(config: AnyTrainConfig, console: Console) -> bool:
    """Train until the schedule's end, or until Ctrl-C, SIGTERM or SIGHUP. Returns whether the run is done and measured.

    Raises:
        FileNotFoundError: the data is not there.
        ValueError: a part of the configuration makes no sense, or the loss is no longer finite.
        OSError: a file cannot be written; those that were written before are whole.
    """
    fabric = _launch(config)
    if fabric.is_global_zero and fabric.device.type == "cpu" and config.hardware.precision == "bf16-mixed":
        _warn_of_slow_precision(console)
    dataset, validation = _open_together(config, fabric, "train", "validation")
    task = TASKS[config.task](_without_needless_weights(config), dataset, fabric)
    epoch_steps = steps_per_epoch(len(dataset), config.optimizer.batch)
    if config.dry_run:
        if fabric.is_global_zero:
            display.print_plan(console, config, task, len(dataset), epoch_steps)
        return False
    if fabric.global_rank:  # each process drops other channels
        torch.manual_seed(config.seed + fabric.global_rank)
    end = config.schedule.epochs * epoch_steps
    with Run(config, task, fabric) as run:
        run.begin()
        if run.progress.step > end:
            raise ValueError(f"schedule.epochs: {run.folder} holds {run.progress.step} steps already, more than {end}")
        stopped = _take_steps(run, end, epoch_steps, dataset, validation, console)
        ended = run.progress.step == end and not stopped
        if ended:
            if run.progress.validated != end:  # it was stopped at an epoch that now is the last one
                run.validate(validation, config.schedule.epochs)
                run.save()
            _measure(run, console)
    fabric.logger.finalize("success")
    return ended


def _take_steps(run: Run, end: int, epoch_steps: int, dataset: Dataset, validation: Dataset, console: Console) -> bool:
    """Train from where the run is up to step `end`, or until it is asked to stop, which ends with a save too.

    Returns whether it was asked to stop, be it during the last step.
    """
    config, task, fabric, progress = run.config, run.task, run.fabric, run.progress
    ranks, world = Ranks.current(), fabric.world_size
    steps, batch = range(progress.step, end), config.optimizer.batch
    batches = training_loader(
        dataset, config.data, task.inputs, batch, config.seed, steps, fabric.device, ranks, task.targets
    )
    sentinel = Sentinel(dataset, run.folder / LAST)
    with display.bar(console, steps, fabric.is_global_zero) as bar, stop_on_signal() as stop:
        for step, samples in zip(steps, batches, strict=True):
            for optimizer in task.optimizers.values():
                set_learning_rates(optimizer, step, epoch_steps, config.schedule)
            terms = task.step(samples)
            sentinel.note(step, terms, samples["index"])

            progress.step = step + 1
            epoch, remainder = divmod(progress.step, epoch_steps)
            ends, logs = remainder == 0, progress.step % LOG_EVERY == 0
            # Several processes must agree; asking each other at every step would slow them down.
            agreed = world == 1 or logs
            stops = agreed and any(ranks.each(stop.requested))
            due = agreed and any(ranks.each(run.is_due()))
            saves = ends or stops or due or (config.save_every and progress.step % config.save_every == 0)
            if ends or logs or saves:
                sentinel.check(task.modules.values() if saves else ())
                terms = fabric.all_reduce(terms, reduce_op="mean")
                run.log(terms)
            bar.update(progress.step, terms, task.network.exchanged_share() if logs or ends else None)
            due_validation = config.validate_every and epoch % config.validate_every == 0
            if ends and (due_validation or progress.step == end):
                scores = run.validate(validation, epoch)
                bar.print(display.line(epoch, terms, scores, task.network.exchanged_share()))
            if saves:
                run.save()
            if stops:
                break
    return any(ranks.each(stop.requested))


def _measure(run: Run, console: Console) -> None:
    """Measure the best and the last weights on the test split, and print the best ones' table."""
    (test,) = _open_together(run.config, run.fabric, "test")
    scores = finish(run, test)
    if run.config.task == "segmentation" and run.fabric.is_global_zero:
        title = f"{run.folder / BEST}: {len(test)} test frames"
        console.print(score_tables.table(scores, run.task.network.config.classes, title))


def open_split(config: AnyTrainConfig, split: Split, render: bool = True) -> Dataset:
    """A split of the run's data, with what its network takes and makes; `render` is that of `open_dataset`."""
    targets = [config.model.target] if config.task == "translation" else []
    return open_dataset(config.data, split, [*config.model.modalities, *targets], render)


def _open_together(config: AnyTrainConfig, fabric: Fabric, *splits: Split) -> list[Dataset]:
    """Splits in every process, once the first one of each machine has rendered what is not there yet."""
    renders = fabric.local_rank == 0 and not config.dry_run
    datasets = [open_split(config, split, renders) for split in splits]
    fabric.barrier()
    return datasets


def _warn_of_slow_precision(console: Console) -> None:
    if not devices.cpu_has_bfloat16():
        console.print(
            "hardware.precision: this CPU has no instructions for bfloat16; on it, 32-true is much faster",
            soft_wrap=True,
        )


def _without_needless_weights(config: AnyTrainConfig) -> AnyTrainConfig:
    """Leave out the weights that a run begins with, where it goes on, and for a plan those that would be downloaded."""
    model = config.model
    if (Path(config.output) / STATE).exists():
        model = replace(model, initial_weights=None)
    if config.dry_run and config.task == "segmentation":
        model = replace(model, encoder_weights=None)
    return replace(config, model=model)


def _launch(config: AnyTrainConfig) -> Fabric:
    logger = TensorBoardLogger(config.output, name="tensorboard", version="")
    devices = 1 if config.dry_run else config.hardware.devices
    here = int(os.environ.get("LOCAL_WORLD_SIZE", devices))  # torchrun's, where it started this
    nodes = int(os.environ.get("WORLD_SIZE", here)) // here
    strategy, precision = strategy_of(config.hardware, here * nodes), config.hardware.precision
    fabric = Fabric(devices=here, num_nodes=nodes, strategy=strategy, precision=precision, loggers=logger)
    fabric.launch()
    fabric.seed_everything(config.seed, verbose=False)
    return fabric
