# SPDX-License-Identifier: Apache-2.0
"""TensorRT through Torch-TensorRT: on Jetsons and data-center GPUs, and as TensorRT for RTX on those of desktops.

Bytes stay outside the engine: TensorRT lets nothing but a cast touch uint8, Torch-TensorRT converts no cast to it, and
its runtime, up to 2.14 at least, binds no such tensors. Two small kernels of PyTorch convert them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module, metadata
from importlib.util import find_spec
from inspect import signature
from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import GraphModule

from cen_model.deploy.graph import aten

ENGINE = "engine.ep"

# One engine or none. TF32 keeps ten bits of a float32, which would cost depth its millimeters; for speed there is fp16.
SETTINGS = {"require_full_compilation": True, "min_block_size": 1, "disable_tf32": True}

_DISTRIBUTIONS = ("torch-tensorrt", "torch-tensorrt-rtx", "tensorrt", "tensorrt-rtx")


def build(program: ExportedProgram, example: Sequence[Tensor], folder: Path, precision: str) -> None:
    """Compile a program into one engine and save it; takes minutes.

    Args:
        program: of static shapes, on any device.
        example: its inputs, on the GPU that the engine is for.
        folder: takes the engine's file.
        precision: the program's own types say it.

    Raises:
        RuntimeError: Torch-TensorRT has no converter for an operation.
    """
    import torch_tensorrt

    device = example[0].device
    settings = dict(SETTINGS)
    # Up to 2.12, TensorRT chooses the types unless it is told not to; later it is never let.
    if "use_explicit_typing" in signature(torch_tensorrt.dynamo.compile).parameters:
        settings["use_explicit_typing"] = True
    program, inputs = without_bytes(program.module(), example)
    with torch.cuda.device(device):
        try:
            engine = torch_tensorrt.dynamo.compile(program, inputs=inputs, device=device, **settings)
        except AssertionError as error:
            raise RuntimeError(f"Torch-TensorRT cannot convert all of it, its log names what: {error}") from error
        # As it is: the versions differ in what they would trace anew.
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
    """Why it cannot be used on the device; None where it can."""
    if device.type != "cuda":
        return f"it is for NVIDIA's GPUs, not for {device.type}"
    if not torch.cuda.is_available():
        return "PyTorch finds no CUDA device"
    if find_spec("torch_tensorrt") is None:
        return "it is not installed (pip install 'cen_ros[tensorrt]', or 'cen_ros[tensorrt-rtx]' for a desktop's GPU)"
    try:
        import_module("torch_tensorrt")
    # Where it does not fit PyTorch, CUDA or TensorRT, it raises whatever comes, Exception itself among it.
    except Exception as error:
        return f"torch_tensorrt cannot be imported: {error}"
    return None


def versions() -> dict[str, str]:
    """Of what an engine depends on, by the names of the packages that are installed."""
    found = {}
    for name in _DISTRIBUTIONS:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def without_bytes(module: GraphModule, example: Sequence[Tensor]) -> tuple[ExportedProgram, list[Tensor]]:
    """A program with float32 in place of uint8 inputs and int32 in place of uint8 results, and its inputs.

    Args:
        module: of ATen operations, the last of which are casts to uint8; changed in place.
        example: its inputs, on the device that the program is to be on.
    """
    module.to(example[0].device)
    for node in module.graph.find_nodes(op="call_function", target=aten._to_copy.default):
        if node.kwargs.get("dtype") == torch.uint8:
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
