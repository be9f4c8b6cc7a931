# SPDX-License-Identifier: Apache-2.0
"""Training of segmentation.

Axes: B batch, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from cen_model.classes import VOID
from cen_model.data.data_config import DataConfig
from cen_model.data.dataset import Dataset
from cen_model.evaluation.dataset_scores import measure_scores
from cen_model.evaluation.inference_modes import InferenceConfig
from cen_model.evaluation.labeler import NetworkLabeler
from cen_model.evaluation.metrics import Scores
from cen_model.losses.segmentation import ENSEMBLE, inputs, losses
from cen_model.models import build
from cen_model.nn.network import MultimodalNetwork
from cen_model.reporting.visualize import colorize_depth, colorize_labels
from cen_model.training.optimizer import build_optimizer
from cen_model.training.recompute import recompute
from cen_model.training.run_config import TrainConfig
from cen_model.training.sharding import Whole
from cen_model.training.task import (
    clip,
    gradients_kept_apart,
    initialize,
    moving_average,
    parts_of,
    refuse_unequal_parts,
    with_a_loss,
)


class Loss(nn.Module):
    """The network with its loss, Eq. 4's penalty included: one module for DDP, FSDP and the compiler to wrap."""

    def __init__(self, network: MultimodalNetwork, config: TrainConfig, sets: Sequence[Sequence[int]] = ()) -> None:
        super().__init__()
        self.network, self.sets = network, sets
        self.penalty, self.smoothing, self.stride = config.exchange.penalty, config.label_smoothing, config.loss_stride
        self.alignment = config.model.fusion.weight if config.model.fusion else 0.0

    def forward(self, batch: Mapping[str, Tensor], pixels: Tensor, share: float) -> dict[str, Tensor]:
        """The weighted terms of a part of a batch.

        Args:
            pixels: by which the cross-entropy's sum is divided.
            share: of the batch that this part is; terms that are no sums over pixels are weighted by it.
        """
        config = self.network.config
        outputs = with_a_loss(self.network(inputs(batch, config, batch["label"].device)), config)
        terms = losses(outputs, batch["label"], share * self.alignment, pixels, self.smoothing, self.stride, self.sets)
        terms["penalty"] = share * self.penalty * self.network.sparsity()
        return terms


class SegmentationTask:
    """Segmentation; see `cen_model.training.task.Task`."""

    targets: Sequence[str] = ()

    def __init__(self, config: TrainConfig, dataset: Dataset, fabric: Fabric) -> None:
        self._config, self._fabric = config, fabric
        self.network = build(_with_classes(config, dataset))
        _refuse_single_samples(config, fabric.world_size)
        self.inputs = self.network.config.modalities
        initialize(self.network, config, fabric)
        if config.hardware.strategy == "ddp":  # weights that are shared out have to be contiguous
            self.network.to(memory_format=torch.channels_last)
        if config.hardware.recompute:
            recompute(self.network)
        loss: nn.Module = Loss(self.network, config, dataset.labels.sets)
        if config.hardware.compile:
            loss = torch.compile(loss)
        self.average = moving_average(self.network, config.ema, fabric)
        self.whole = Whole(self.network, config.hardware, fabric)
        self._loss = fabric.setup_module(loss)
        optimizer = build_optimizer(self.network, config.optimizer, config.exchange)
        self._optimizer = fabric.setup_optimizers(optimizer)
        self.modules, self.optimizers = {"network": self.network}, {"network": optimizer}

    def step(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        _training_mode(self._loss, self._config.optimizer.frozen_statistics)
        fabric, count = self._fabric, self._config.optimizer.accumulate
        # Void pixels are spread unevenly. Gradients of the processes are averaged; so are the pixels.
        stride = self._config.loss_stride
        pixels = fabric.all_reduce((batch["label"][:, ::stride, ::stride] != VOID).sum().float(), reduce_op="mean")
        total: dict[str, Tensor] = {}
        for place, part in enumerate(parts_of(batch, count)):
            with gradients_kept_apart(fabric, self._loss, apart=place + 1 < count):
                terms = self._loss(part, pixels, 1 / count)
                fabric.backward(sum(terms.values()))
            total = {name: total.get(name, 0) + term.detach() for name, term in terms.items()}
        clip(fabric, self._loss, self._optimizer, self._config.optimizer.clip)
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self.average:
            self.average.update_parameters(self.whole())
        return total

    def measure(self, network: MultimodalNetwork, dataset: Dataset) -> Mapping[str, Scores]:
        return measure_scores(network, dataset, self._config.data)

    def goodness(self, scores: Mapping[str, Scores]) -> float:
        return float(np.nan_to_num(scores[ENSEMBLE].mean_iou))  # undefined where every pixel is void

    def pictures(self, network: MultimodalNetwork, dataset: Dataset, indices: Sequence[int]) -> Iterator[np.ndarray]:
        data: DataConfig = replace(self._config.data, workers=0)
        labeler = NetworkLabeler(network, dataset, data, InferenceConfig())
        classes = len(network.config.classes)
        for index in indices:
            frame, (labels, _) = dataset[index], labeler.label(index)
            shown = [frame["rgb"]] if "rgb" in frame else []
            shown += [colorize_depth(frame["depth"])] if "depth" in frame else []
            yield np.hstack([*shown, colorize_labels(frame["label"], classes), colorize_labels(labels, classes)])


def _with_classes(config: TrainConfig, dataset: Dataset) -> Any:
    """The network's configuration with the dataset's classes. Raises ValueError where it names other ones."""
    if dataset.labels is None:
        raise ValueError(f"data: {config.data.dataset} has no labels; segmentation cannot be learned from it")
    own, names = config.model.classes, dataset.labels.names
    if own not in (names, type(config.model)().classes):
        raise ValueError(
            f"model.classes: the data has {len(names)} classes ({', '.join(names[:4])}, …), "
            f"got {len(own)} other ones ({', '.join(own[:4])}, …); leave the key out"
        )
    return replace(config.model, classes=names)


def _refuse_single_samples(config: TrainConfig, processes: int) -> None:
    optimizer = config.optimizer
    refuse_unequal_parts(optimizer.batch, processes, optimizer.accumulate)
    alone = optimizer.batch == processes * optimizer.accumulate
    if config.model.decoder == "pspnet" and alone and not optimizer.frozen_statistics:
        raise ValueError(
            "model.decoder='pspnet' cannot be trained on one sample at a time: its coarsest pool leaves one pixel, and "
            "BatchNorm needs more than one value; raise optimizer.batch, or set optimizer.frozen_statistics=true"
        )


def _training_mode(module: nn.Module, frozen_statistics: bool) -> None:
    """Everything in training, but BatchNorm's statistics where they are frozen."""
    module.train()
    if frozen_statistics:
        for each in module.modules():
            if isinstance(each, nn.BatchNorm2d):
                each.eval()
