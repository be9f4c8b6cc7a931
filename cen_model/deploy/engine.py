# SPDX-License-Identifier: Apache-2.0
"""A loaded engine with its buffers: arrays in, arrays out.

Axes: H W the sensor's pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cen_model.deploy.backends.selection import Run

_WARM_UP = 3


class Engine:
    """Runs frames through input buffers that are made once.

    Args:
        run: the engine.
        example: its inputs, on its device, by which the buffers are shaped.
    """

    def __init__(self, run: Run, example: Sequence[Tensor]) -> None:
        self._run = run
        self._device = example[0].device
        self._inputs = [torch.empty_like(each, device="cpu") for each in example]

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """Copy arrays into the engine's inputs, converting their type, run it, and return copies of its outputs."""
        _fill(self._inputs, arrays)
        with torch.inference_mode():
            outputs = self._run(*(each.to(self._device) for each in self._inputs))
        return tuple(output.cpu().numpy().copy() for output in outputs)


class CudaEngine:
    """Runs frames on a GPU: a whole frame, copies included, is one replay of a CUDA graph between pinned buffers.

    Args:
        run: the engine.
        example: its inputs, on the GPU.
    """

    def __init__(self, run: Run, example: Sequence[Tensor]) -> None:
        self._stream = torch.cuda.Stream(example[0].device)
        self._inputs = [torch.empty_like(each, device="cpu", pin_memory=True) for each in example]
        on_gpu = [each.clone() for each in example]
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            for _ in range(_WARM_UP):  # kernels are chosen and memory is allocated before the graph is captured
                outputs = run(*on_gpu)
            self._outputs = [torch.empty_like(each, device="cpu", pin_memory=True) for each in outputs]
            self._stream.synchronize()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=self._stream):
                _copy(self._inputs, on_gpu)
                _copy(run(*on_gpu), self._outputs)

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """Copy arrays into the engine's inputs, converting their type, run it, and return copies of its outputs."""
        _fill(self._inputs, arrays)
        with torch.cuda.stream(self._stream):
            self._graph.replay()
        self._stream.synchronize()
        return tuple(output.numpy().copy() for output in self._outputs)


def ready(run: Run, example: Sequence[Tensor]) -> Engine | CudaEngine:
    """What suits the device that the example is on."""
    return CudaEngine(run, example) if example[0].is_cuda else Engine(run, example)


def _fill(buffers: Sequence[Tensor], arrays: Sequence[np.ndarray]) -> None:
    for buffer, array in zip(buffers, arrays, strict=True):
        np.copyto(buffer.numpy(), array, casting="safe")


def _copy(sources: Sequence[Tensor], destinations: Sequence[Tensor]) -> None:
    for source, destination in zip(sources, destinations, strict=True):
        destination.copy_(source, non_blocking=True)
