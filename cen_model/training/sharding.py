# SPDX-License-Identifier: Apache-2.0
"""How processes share a run: each with the whole network, or with a share of it (PyTorch's FSDP 2, through Fabric)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

from lightning.fabric import Fabric
from lightning.fabric.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from cen_model.nn.modal import whole
from cen_model.nn.network import MultimodalNetwork
from cen_model.nn.pspnet import PSPNet
from cen_model.training.run_config import HardwareConfig


def strategy_of(config: HardwareConfig, processes: int) -> Strategy | str:
    """How Lightning Fabric is to spread a run over `processes` processes."""
    if config.strategy == "fsdp":
        return ModelParallelStrategy(_shard, data_parallel_size=processes, tensor_parallel_size=1)
    # Statistics are frozen, or follow each process's own samples; sending them around helps neither.
    return DDPStrategy(broadcast_buffers=False) if processes > 1 else "auto"


def _shard(module: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """The stages of a network's encoder and its decoder are gathered as they are needed, what is left before all."""
    processes = mesh["data_parallel"]
    for network in (each for each in module.modules() if isinstance(each, MultimodalNetwork)):
        parts = [*network.encoder.stages, network.decoder]
        if isinstance(network.decoder, PSPNet):
            parts.insert(-1, network.decoder.auxiliary_head)  # which runs by itself
        for part in parts:
            fully_shard(part, mesh=processes)
    return fully_shard(module, mesh=processes)


class Whole:
    """Gives a network with all of its weights in this process: itself, or a copy where each process has but a share.

    To be made before the network is shared out, and called in every process at once.
    """

    def __init__(self, network: MultimodalNetwork, config: HardwareConfig, fabric: Fabric) -> None:
        self._network = network
        self._copy = copy.deepcopy(network).to(fabric.device) if config.strategy == "fsdp" else None

    def __call__(self) -> MultimodalNetwork:
        if self._copy is None:
            return self._network
        for mine, shared in zip(_tensors(self._copy), _tensors(self._network), strict=True):
            mine.copy_(whole(shared))  # one after the other: there is never a second copy of everything
        return self._copy


def average_statistics(modules: Iterable[nn.Module], fabric: Fabric) -> None:
    """Let BatchNorm's running statistics, to which each process added its own samples, be the same in all of them."""
    if fabric.world_size == 1:
        return
    for buffer in (buffer for module in modules for buffer in module.buffers()):
        if buffer.is_floating_point():
            buffer.copy_(fabric.all_reduce(buffer, reduce_op="mean"))


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from (parameter.detach() for parameter in module.parameters())
    yield from module.buffers()


def here(weight: Tensor) -> Tensor:
    """What this process keeps of a weight."""
    return weight.to_local() if isinstance(weight, DTensor) else weight
