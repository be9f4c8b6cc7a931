# SPDX-License-Identifier: Apache-2.0
"""What a network costs: parameters, FLOPs and peak activation memory of one forward pass.

Everything follows from shapes, so a network built on the meta device is measured without computing or allocating
anything: `with torch.device("meta"): measure_cost(build(config), inputs)`.

Axes: B batch, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakIdKeyDictionary


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes:
        parameters: of the network; one that several modules share counts once.
        fusion_parameters: those among them that are used for fusion.
        flops: of one forward pass. A multiplication with an addition counts as two; convolutions and matrix products
            alone are counted.
        peak_activation_bytes: the most that all live tensors together hold at any time of one forward pass in eager
            mode, without autograd. Inputs are counted, parameters, buffers and the workspace of kernels are not.
    """

    parameters: int
    fusion_parameters: int
    flops: int
    peak_activation_bytes: int


def measure_cost(model: nn.Module, inputs: Mapping[str, Tensor], fusion: nn.Module | None = None) -> Cost:
    """Run one forward pass and watch it.

    Args:
        model: takes `inputs`; left in evaluation mode.
        inputs: (B, C, H, W) by name, on the model's device.
        fusion: the part of the model that is used for fusion.
    """
    flops = FlopCounterMode(display=False)
    memory = _ActivationMemory([*model.parameters(), *model.buffers()], inputs.values())
    # Not inference_mode: there, compound operations arrive whole, and their intermediate results would not be seen.
    with torch.no_grad(), flops, memory:
        model.eval()(inputs)
    return Cost(
        parameters=_count(model),
        fusion_parameters=_count(fusion) if fusion else 0,
        flops=flops.get_total_flops(),
        peak_activation_bytes=memory.peak,
    )


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


class _ActivationMemory(TorchDispatchMode):
    """Sums the storages that are alive whenever an operation returns, its arguments among them.

    Attributes:
        peak: the largest sum so far, in bytes.
    """

    def __init__(self, constants: Iterable[Tensor], inputs: Iterable[Tensor]) -> None:
        super().__init__()
        self.peak = 0
        self._constants = WeakIdKeyDictionary({tensor.untyped_storage(): None for tensor in constants})
        # Views share their storage, and a dead one leaves the dictionary.
        self._alive = WeakIdKeyDictionary()
        self._watch(inputs)

    def __torch_dispatch__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self._watch(each for each in tree_leaves(result) if isinstance(each, Tensor))
        return result

    def _watch(self, tensors: Iterable[Tensor]) -> None:
        for storage in (tensor.untyped_storage() for tensor in tensors):
            if storage not in self._constants:
                self._alive[storage] = storage.nbytes()
        self.peak = max(self.peak, sum(self._alive.values()))
