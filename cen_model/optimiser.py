# SPDX-License-Identifier: Apache-2.0
"""The paper's optimiser (§ 4.1): SGD with separate learning rates for encoder and decoder, and its schedules."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from cen_model.conditional import ConditionalNorm
from cen_model.exchange import exchange_norms
from cen_model.modal import PrivateAffine, PrivateStatistics
from cen_model.network import MultimodalNetwork
from cen_model.train_config import ExchangeTrainingConfig, OptimiserConfig, ScheduleConfig

# Everything that holds γ and β itself.
_NORMS = (_NormBase, PrivateAffine, PrivateStatistics, ConditionalNorm)


def build_optimiser(
    model: MultimodalNetwork, config: OptimiserConfig, exchange: ExchangeTrainingConfig
) -> torch.optim.SGD:
    """SGD over the encoder, the decoder with α, and the exchanging norms' γ.

    Norms get no weight decay: it would pull γ under θ without asking the loss, in every channel alike.
    """
    norms = {id(p) for m in model.modules() if isinstance(m, _NORMS) for p in m.parameters(recurse=False)}
    gammas = {id(norm.weight) for layer in exchange_norms(model) for norm in layer.norms}
    rates = {"encoder": config.encoder_lr, "decoder": config.decoder_lr}
    groups = {}
    for part, parameters in model.parameter_groups().items():
        for parameter in parameters:
            factor = exchange.lr_factor if id(parameter) in gammas else 1.0
            decay = 0.0 if id(parameter) in norms else config.weight_decay
            groups.setdefault((rates[part] * factor, decay), []).append(parameter)
    return torch.optim.SGD(
        [_group(parameters, lr, decay) for (lr, decay), parameters in groups.items()], momentum=config.momentum
    )


def _group(parameters: list[nn.Parameter], lr: float, weight_decay: float) -> dict[str, Any]:
    return {"params": parameters, "lr": lr, "initial_lr": lr, "weight_decay": weight_decay}


def initialise_gamma(model: nn.Module, value: float | None) -> None:
    """Start every γ of the exchanging norms at `value`; None leaves them."""
    if value is None:
        return
    for layer in exchange_norms(model):
        for norm in layer.norms:
            nn.init.constant_(norm.weight, value)


def learning_rate_factor(step: int, steps_per_epoch: int, config: ScheduleConfig) -> float:
    """Factor on every learning rate at training step `step`, counted from 0.

    A function of the step alone: the schedule has no state that a resumed training could lose.
    """
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    if config.kind == "halving":
        return warmup * 0.5 ** (step // steps_per_epoch // config.halve_every)
    progress = step / (config.epochs * steps_per_epoch)
    return warmup * 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rates(optimiser: torch.optim.Optimizer, factor: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * factor
