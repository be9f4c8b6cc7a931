# SPDX-License-Identifier: Apache-2.0
"""Optimizers with separate learning rates for encoder and decoder (§ 4.1), and their schedules."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from cen_model.nn.conditional import ConditionalNorm
from cen_model.nn.exchange import exchange_norms
from cen_model.nn.modal import PrivateAffine, PrivateStatistics
from cen_model.nn.network import MultimodalNetwork
from cen_model.training.run_config import ExchangeTrainingConfig, OptimizerConfig, ScheduleConfig

# Everything that holds γ and β itself.
_NORMS = (_NormBase, PrivateAffine, PrivateStatistics, ConditionalNorm)


def build_optimizer(
    model: MultimodalNetwork, config: OptimizerConfig, exchange: ExchangeTrainingConfig
) -> torch.optim.Optimizer:
    """An optimizer of the encoder, the decoder with α, and the exchanging norms' γ; groups are named after them.

    Norms get no weight decay: it would pull γ under θ without asking the loss, in every channel alike.
    """
    norms = {id(p) for m in model.modules() if isinstance(m, _NORMS) for p in m.parameters(recurse=False)}
    gammas = {id(norm.weight) for layer in exchange_norms(model) for norm in layer.norms}
    rates = {"encoder": config.encoder_lr, "decoder": config.decoder_lr}
    groups: dict[tuple[str, float, float], list[nn.Parameter]] = {}
    for part, parameters in model.parameter_groups().items():
        for parameter in parameters:
            factor = exchange.lr_factor if id(parameter) in gammas else 1.0
            decay = 0.0 if id(parameter) in norms else config.weight_decay
            groups.setdefault((part, rates[part] * factor, decay), []).append(parameter)
    return make([_group(parameters, *key) for key, parameters in groups.items()], config)


def build_discriminator_optimizer(discriminator: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The same kind, with the encoder's learning rate."""
    return make([_group(list(discriminator.parameters()), "encoder", config.encoder_lr, config.weight_decay)], config)


def make(groups: list[dict[str, Any]], config: OptimizerConfig) -> torch.optim.Optimizer:
    """An optimizer of the configured kind."""
    if config.kind == "sgd":
        return torch.optim.SGD(groups, momentum=config.momentum)
    kind = torch.optim.Adam if config.kind == "adam" else torch.optim.AdamW
    return kind(groups, betas=config.betas)


def _group(parameters: list[nn.Parameter], part: str, lr: float, weight_decay: float) -> dict[str, Any]:
    return {"params": parameters, "part": part, "lr": lr, "initial_lr": lr, "weight_decay": weight_decay}


def initialize_gamma(model: nn.Module, value: float | None) -> None:
    """Start every γ of the exchanging norms at `value`; None leaves them."""
    if value is None:
        return
    for layer in exchange_norms(model):
        for norm in layer.norms:
            nn.init.constant_(norm.weight, value)


def learning_rate_factor(step: int, steps_per_epoch: int, config: ScheduleConfig, part: str = "encoder") -> float:
    """Factor on the learning rate of a part at training step `step`, counted from 0.

    A function of the step alone: the schedule has no state that a resumed training could lose.
    """
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    stage = step // steps_per_epoch // config.every
    if config.kind == "halving":
        return warmup * 0.5**stage
    if config.kind == "steps":
        factors = config.encoder_factors if part == "encoder" else config.decoder_factors
        return warmup * factors[min(stage, len(factors) - 1)]
    if config.kind == "constant":
        return warmup
    progress = step / (config.epochs * steps_per_epoch)
    return warmup * 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rates(
    optimizer: torch.optim.Optimizer, step: int, steps_per_epoch: int, config: ScheduleConfig
) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * learning_rate_factor(step, steps_per_epoch, config, group["part"])
