# SPDX-License-Identifier: Apache-2.0
"""Training in less memory: what is cheap to compute is computed again in the backward pass instead of being kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cen_model.nn.network import MultimodalNetwork


def recompute(network: MultimodalNetwork) -> None:
    """Let a segmentation network keep less for the backward pass, in place; outputs and gradients stay the same.

    Of the encoder only the features of its stages are kept, and every stage runs a second time in the backward pass: an
    encoder is a small part of RefineNet's work, and most of its memory. Pooling at full resolution keeps its indices in
    few bits, and nothing else. Names of parameters stay as they are. Not for networks that are compiled: the compiler
    itself chooses what to compute again.

    On a CPU, much of the gain is lost to freed memory that is not returned, unless the program calls
    `cen_model.utils.process_settings.return_large_blocks` first.
    """
    for stage in network.encoder.stages:
        contexts = partial(_contexts, stage)
        stage.forward = partial(checkpoint, stage.forward, use_reentrant=False, context_fn=contexts)
    for name, child in list(network.decoder.named_modules()):
        if isinstance(child, nn.MaxPool2d) and child.stride == 1 and child.padding == child.kernel_size // 2:
            network.decoder.set_submodule(name, FrugalMaxPool(child.kernel_size))


class FrugalMaxPool(nn.Module):
    """Max pooling with stride 1 that keeps the size, and of a batch in training only narrow indices.

    Args:
        kernel_size: odd.
    """

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.kernel_size = kernel_size

    def forward(self, x: Tensor) -> Tensor:
        return _MaxPool.apply(x, self.kernel_size)


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel_size: int) -> Tensor:
        pooled, indices = F.max_pool2d(x, kernel_size, stride=1, padding=kernel_size // 2, return_indices=True)
        narrow = torch.int16 if x.shape[-2] * x.shape[-1] <= torch.iinfo(torch.int16).max else torch.int32
        ctx.save_for_backward(indices.to(narrow))
        ctx.kernel_size = kernel_size
        return pooled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        kernel, padding = [ctx.kernel_size] * 2, [ctx.kernel_size // 2] * 2
        indices = ctx.saved_tensors[0].long()
        # Of its second argument, the input, this reads the shape alone, which is the gradient's.
        backward = torch.ops.aten.max_pool2d_with_indices_backward
        return backward(gradient, gradient, kernel, [1, 1], padding, [1, 1], False, indices), None


def _contexts(stage: nn.Module) -> tuple[AbstractContextManager, AbstractContextManager]:
    return nullcontext(), _statistics_counted_already(stage)


@contextmanager
def _statistics_counted_already(stage: nn.Module) -> Iterator[None]:
    """The second pass must not move running statistics once more."""
    norms = [module for module in stage.modules() if isinstance(module, nn.BatchNorm2d)]
    # Not track_running_stats: the statistics would no longer be among what is saved, which has to be the same.
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches
