# SPDX-License-Identifier: Apache-2.0
"""TensorRT through Torch-TensorRT: on Jetsons and data-centre GPUs, and as TensorRT for RTX on those of desktops.

Bytes stay outside the engine. TensorRT takes uint8 only where a cast follows at once, Torch-TensorRT converts no cast to
it, and its runtime, up to 2.14 at least, binds no tensors of that type. PyTorch converts them: two small kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module, metadata
from inspect import signature
from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram

from cen_model.deploy.graph import aten, is_call

ENGINE = "engine.ep"

# One engine or none. TF32 would keep ten bits of a float32, which costs depth its millimetres; who wants speed has fp16.
SETTINGS = {"require_full_compilation": True, "min_block_size": 1, "disable_tf32": True}

_DISTRIBUTIONS = ("torch", "torch-tensorrt", "torch-tensorrt-rtx", "tensorrt", "tensorrt-rtx")


def build(program: ExportedProgram, example: Sequence[Tensor], folder: Path, precision: str) -> None:
    """Compile a program into one engine and save it; takes minutes.

    Args:
        program: of static shapes, on any device.
        example: its inputs, on the GPU that the engine is for.
        folder: takes the engine's file.
        precision: the program's; TensorRT finds it in the program's own types.

    Raises:
        AssertionError: of Torch-TensorRT, where TensorRT has no operation for one of the program's; its log names it.
    """
    import torch_tensorrt

    device = example[0].device
    program, example = without_bytes(program, example)
    settings = dict(SETTINGS)
    # Up to 2.12, types are TensorRT's choice unless it is told otherwise; later there is no choice.
    if "use_explicit_typing" in signature(torch_tensorrt.dynamo.compile).parameters:
        settings["use_explicit_typing"] = True
    with torch.cuda.device(device):
        engine = torch_tensorrt.dynamo.compile(program, inputs=example, device=device, **settings)
        # Without a trace of its own, which versions differ in.
        torch_tensorrt.save(engine, str(folder / ENGINE), retrace=False)


def load(folder: Path, device: torch.device) -> Callable[..., tuple[Tensor, ...]]:
    """The engine of a folder that `build` filled, ready for inputs on `device`, of the types that the program had."""
    import torch_tensorrt

    with torch.cuda.device(device):
        engine = torch_tensorrt.load(str(folder / ENGINE)).module()

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        return to_bytes(engine(*from_bytes(inputs)))

    return run


def unavailable(device: torch.device) -> str | None:
    """Why TensorRT cannot be used here, None where it can."""
    if device.type != "cuda":
        return f"TensorRT computes on NVIDIA's GPUs, not on {device.type!r}"
    if not torch.cuda.is_available():
        return "PyTorch finds no CUDA device"
    try:
        import_module("torch_tensorrt")
    # What it raises where it does not fit PyTorch, CUDA or TensorRT is of many types, Exception itself among them.
    except Exception as error:
        return f"Torch-TensorRT cannot be imported ({error}): install cen_ros[tensorrt], or cen_ros[tensorrt-rtx]"
    return None


def versions() -> dict[str, str]:
    """Of the libraries that are installed among those an engine depends on, by the names of their packages."""
    installed = {each.name: each.version for each in metadata.distributions()}
    return {name: installed[name] for name in _DISTRIBUTIONS if name in installed}


def without_bytes(program: ExportedProgram, example: Sequence[Tensor]) -> tuple[ExportedProgram, list[Tensor]]:
    """The same program with float32 in place of uint8 inputs and int32 in place of uint8 results, and its inputs.

    Args:
        program: casts to uint8 are its last operations.
        example: its inputs; the new program is on their device.
    """
    module = program.module().to(example[0].device)
    for node in list(module.graph.nodes):
        if is_call(node, aten._assert_tensor_metadata.default):  # of types and devices that are not so any more
            module.graph.erase_node(node)
        elif is_call(node, aten._to_copy.default) and node.kwargs["dtype"] == torch.uint8:
            node.update_kwarg("dtype", torch.int32)
    module.recompile()
    inputs = from_bytes(example)
    with torch.no_grad():
        return torch.export.export(module, tuple(inputs)), inputs


def from_bytes(inputs: Sequence[Tensor]) -> list[Tensor]:
    """What the engine takes in place of a program's inputs."""
    return [x.float() if x.dtype == torch.uint8 else x for x in inputs]


def to_bytes(outputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """A program's results from those of its engine."""
    return tuple(x.to(torch.uint8) if x.dtype == torch.int32 else x for x in outputs)
