# SPDX-License-Identifier: Apache-2.0
"""Train a network: `python -m cen_model.train --config config/train/synthetic.yaml [key=value ...]`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers import TensorBoardLogger
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from cen_model import checkpoint, report
from cen_model.config import SegmentationConfig
from cen_model.data.classes import NYU13
from cen_model.data.transforms import steps_per_epoch
from cen_model.evaluate import measure
from cen_model.exchange import ExchangeNorm, exchanged_share
from cen_model.loaders import cached_scenes, evaluation_loader, training_loader
from cen_model.models import build
from cen_model.optimiser import build_optimiser, initialise_gamma, learning_rate_factor, set_learning_rates
from cen_model.segmentation import ENSEMBLE, evaluate, inputs, losses
from cen_model.train_config import TrainConfig, parse
from cen_model.training_state import RunProgress, load_state, save_state, stop_on_signal

LOG_EVERY = 10


def train(config: TrainConfig, console: Console) -> bool:
    """Train until the schedule's end, or until Ctrl-C. Returns whether the end was reached.

    Raises:
        FileNotFoundError: there is nothing to resume.
        ValueError: a part of the configuration makes no sense, or the loss is no longer finite.
    """
    _refuse_other_data(config.model)
    output = Path(config.output)
    best, last, state = output / "best.safetensors", output / "last.safetensors", output / "last.state.pt"
    if state.exists() and not config.resume:
        raise ValueError(f"output: {output} holds a run already; continue it with resume=true or choose another folder")

    logger = TensorBoardLogger(output, name="tensorboard", version="")
    fabric = Fabric(devices=1, precision=config.precision, loggers=logger)
    fabric.seed_everything(config.seed, verbose=False)
    network = build(config.model)
    initialise_gamma(network, config.exchange.gamma_init)
    network.to(memory_format=torch.channels_last)
    sgd = build_optimiser(network, config.optimiser, config.exchange)
    model, optimiser = fabric.setup(network, sgd)
    progress = load_state(state, network, sgd, config) if config.resume else RunProgress()

    data, modalities = config.data, config.model.modalities
    alignment_weight = config.model.fusion.weight if config.model.fusion else 0.0
    scenes = cached_scenes(data.training, data.size)
    validation = cached_scenes(data.validation, data.size)
    epoch_steps = steps_per_epoch(len(scenes), config.optimiser.batch)
    steps = range(progress.step, config.schedule.epochs * epoch_steps)
    batches = training_loader(scenes, data, config.optimiser.batch, config.seed, steps)

    with _bar(console) as bar, stop_on_signal() as stop:
        task = bar.add_task("", total=steps.stop, completed=steps.start, loss=float("nan"), miou=0.0, share=0.0)
        for step, batch in zip(steps, batches, strict=True):
            set_learning_rates(sgd, learning_rate_factor(step, epoch_steps, config.schedule))
            _training_mode(model, config.optimiser.frozen_statistics)
            outputs = model(inputs(batch, modalities, fabric.device))
            terms = losses(outputs, batch["label"].to(fabric.device), alignment_weight)
            terms["penalty"] = config.exchange.penalty * network.sparsity()  # Eq. 4
            loss = sum(terms.values())
            fabric.backward(loss)
            optimiser.step()
            optimiser.zero_grad()
            progress.step = step + 1

            epoch, remainder = divmod(progress.step, epoch_steps)
            if progress.step % LOG_EVERY == 0 or remainder == 0:
                _refuse_divergence(loss, step)
                share = network.exchanged_share()
                values = {f"loss/{name}": term.item() for name, term in terms.items()}
                fabric.log_dict({**values, "exchanged": share, "lr": sgd.param_groups[0]["lr"]}, progress.step)
                bar.update(task, loss=loss.item(), share=share)
            bar.update(task, completed=progress.step)

            if remainder == 0 and (epoch % config.validate_every == 0 or progress.step == steps.stop):
                scores = evaluate(
                    model, modalities, len(config.model.classes), evaluation_loader(validation, data.evaluation_batch)
                )
                miou = {f"mIoU/{name}": s.mean_iou for name, s in scores.items()}
                fabric.log_dict({**miou, **_exchanged_by_layer(network)}, progress.step)
                bar.update(task, miou=scores[ENSEMBLE].mean_iou)
                console.print(_line(epoch, loss.item(), miou, network.exchanged_share()), soft_wrap=True)
                if scores[ENSEMBLE].mean_iou > progress.best_mean_iou:
                    progress.best_mean_iou = scores[ENSEMBLE].mean_iou
                    checkpoint.save(best, network, {"epoch": str(epoch)}, half=config.half_weights)
            if remainder == 0 or stop.requested:
                _refuse_divergence(loss, step)
                save_state(state, network, sgd, progress, config)
                checkpoint.save(last, network, {"step": str(progress.step)}, half=config.half_weights)
            if stop.requested:
                break
    logger.finalize("success")
    return progress.step == steps.stop


def measure_best(config: TrainConfig, console: Console) -> None:
    """Measure the best checkpoint on the held-out scenes; the scores and the configuration go into its metadata."""
    path = Path(config.output) / "best.safetensors"
    model = checkpoint.load(path)
    seeds = config.data.held_out
    scores = measure(model, seeds, config.data)
    text = {
        **report.metadata(scores, config.model.classes, seeds),
        "exchanged_share": f"{model.exchanged_share():.4f}",
        "epoch": checkpoint.read_metadata(path).get("epoch", ""),
        "training": json.dumps(asdict(config)),
    }
    checkpoint.save(path, model, text, half=config.half_weights)
    console.print(report.table(scores, config.model.classes, f"{path}: {len(seeds)} held-out scenes"))


def _refuse_other_data(model: SegmentationConfig) -> None:
    """Synthetic scenes have colour, depth and their own classes."""
    if missing := set(model.modalities) - {"rgb", "depth"}:
        raise ValueError(f"model.modalities: synthetic scenes have rgb and depth, not {', '.join(sorted(missing))}")
    if model.classes != NYU13:
        raise ValueError(
            f"model.classes: synthetic scenes have {len(NYU13)} classes ({', '.join(NYU13)}), "
            f"got {len(model.classes)} other ones"
        )


def _training_mode(model: nn.Module, frozen_statistics: bool) -> None:
    model.train()
    if frozen_statistics:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def _exchanged_by_layer(model: nn.Module) -> dict[str, float]:
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, ExchangeNorm)}
    return {f"exchanged/{name}": exchanged_share(layer) for name, layer in layers.items()}


def _refuse_divergence(loss: torch.Tensor, step: int) -> None:
    if not loss.isfinite():
        raise ValueError(f"the loss is {loss.item()} at step {step}: lower optimiser.encoder_lr and decoder_lr")


def _bar(console: Console) -> Progress:
    text = "loss {task.fields[loss]:.3f}  mIoU {task.fields[miou]:.3f}  exchanged {task.fields[share]:.0%}"
    return Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn(text), console=console)


def _line(epoch: int, loss: float, miou: dict[str, float], share: float) -> str:
    scores = "  ".join(f"{name} {value:.3f}" for name, value in miou.items())
    return f"epoch {epoch:3d}  loss {loss:.3f}  {scores}  exchanged {share:.0%}"


def main() -> int:
    console = Console(highlight=False)
    try:
        config = parse(sys.argv[1:])
        if not train(config, console):
            console.print(f"stopped; continue with resume=true (output={config.output})")
            return 130
        measure_best(config, console)
    except KeyboardInterrupt:  # before the first step, while scenes are rendered
        return 130
    except (ValueError, OSError) as error:
        console.print(f"train: {error}", markup=False)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
