# SPDX-License-Identifier: Apache-2.0
"""What the training loop asks of a task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Protocol

import numpy as np
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cen_model.config import NetworkConfig
from cen_model.data.dataset import Dataset
from cen_model.evaluation.metrics import Measured
from cen_model.nn.network import MultimodalNetwork
from cen_model.training.initial_weights import take_weights
from cen_model.training.optimizer import initialize_gamma
from cen_model.training.run_config import AnyTrainConfig


class Task(Protocol):
    """A network in training, with all that belongs to it.

    Attributes:
        network: that is trained, and later used.
        inputs: modalities that the network takes.
        targets: further modalities that a batch needs.
        modules: by name, everything with weights.
        optimizers: by the same names.
        average: the moving average of the network's weights, where there is one.
    """

    network: MultimodalNetwork
    inputs: Sequence[str]
    targets: Sequence[str]
    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, Optimizer]
    average: AveragedModel | None

    def whole(self) -> MultimodalNetwork:
        """The network with all of its weights in this process; to be called in every process at once."""

    def step(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One optimization step; the weighted terms of the loss."""

    def measure(self, network: MultimodalNetwork, dataset: Dataset) -> Measured:
        """Scores of every output on a dataset."""

    def goodness(self, scores: Measured) -> float:
        """One number to choose checkpoints by; higher is better."""

    def pictures(self, network: MultimodalNetwork, dataset: Dataset, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """A row uint8 (H, W', 3) for each frame: inputs, truth, outputs."""


def initialize(network: MultimodalNetwork, config: AnyTrainConfig, fabric: Fabric) -> None:
    """Give a new network the factors and weights that its training is to start with, and print what fitted.

    Raises:
        ValueError: the initial weights cannot be read, or nothing of them fits.
    """
    initialize_gamma(network, config.exchange.gamma_init)
    if config.model.initial_weights:
        fabric.print(take_weights(network, config.model.initial_weights))


def moving_average(network: MultimodalNetwork, decay: float | None, fabric: Fabric) -> AveragedModel | None:
    """An exponential moving average of a network's weights and statistics; None without a decay."""
    if decay is None:
        return None
    average = AveragedModel(network, fabric.device, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    average.n_averaged = average.n_averaged.cpu()  # it is asked for at every step, and a GPU would have to be awaited
    return average


@contextmanager
def gradients_kept_apart(fabric: Fabric, *modules: nn.Module, apart: bool) -> Iterator[None]:
    """While `apart`, gradients are not yet averaged with those of other processes: more of the batch is to come."""
    with ExitStack() as stack:
        if apart and fabric.world_size > 1:
            for module in modules:
                stack.enter_context(fabric.no_backward_sync(module))
        yield


def clip(fabric: Fabric, module: nn.Module, optimizer: Optimizer, norm: float | None) -> None:
    """Shorten the gradient to a norm, if it is longer; None leaves it.

    One that is not finite stays so, for float16's loss scaling skips such steps; else `Sentinel` tells of it.
    """
    if norm is not None:
        fabric.clip_gradients(module, optimizer, max_norm=norm, error_if_nonfinite=False)


def with_a_loss(outputs: Mapping[str, Tensor], config: NetworkConfig) -> dict[str, Tensor]:
    """Of a network's outputs those that its loss is of: without the streams where only the ensemble has one (Eq. 4)."""
    unsupervised = set(config.streams).difference(config.supervised)
    return {name: output for name, output in outputs.items() if name not in unsupervised}


def parts_of(batch: Mapping[str, Tensor], count: int) -> list[dict[str, Tensor]]:
    """A batch in `count` equal parts."""
    chunks = {name: values.chunk(count) for name, values in batch.items()}
    return [{name: values[i] for name, values in chunks.items()} for i in range(count)]


def refuse_unequal_parts(batch: int, processes: int, accumulate: int) -> None:
    """Raise ValueError unless a batch can be shared by the processes, and each share by the passes."""
    if batch % (processes * accumulate):
        raise ValueError(
            f"optimizer.batch: {batch} samples cannot be shared equally by {processes} processes and "
            f"optimizer.accumulate={accumulate} passes"
        )
