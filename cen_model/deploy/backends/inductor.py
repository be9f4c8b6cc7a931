# SPDX-License-Identifier: Apache-2.0
"""AOTInductor: PyTorch's compiler, ahead of time, into one shared library; on a CPU with oneDNN's convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

_FILE = "engine.pt2"


def unavailable(device: torch.device) -> str | None:
    """Why it cannot be used on the device; None where it can."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return "no C++ compiler was found (apt install g++)"
    return None


def versions() -> dict[str, str]:
    return {}


def build(program: torch.export.ExportedProgram, example: Sequence[Tensor], folder: Path, precision: str) -> None:
    # Frozen: the weights are constants, and laid out once as the kernels read them.
    with torch.no_grad():
        torch._inductor.aoti_compile_and_package(
            program, package_path=str(folder / _FILE), inductor_configs={"freezing": True}
        )


def load(folder: Path, device: torch.device) -> Callable[..., tuple[Tensor, ...]]:
    index = -1 if device.index is None else device.index
    # Without locks between threads, as PyTorch advises where a CUDA graph is captured; an engine has one thread.
    alone = device.type == "cuda"
    return torch._inductor.aoti_load_package(str(folder / _FILE), run_single_threaded=alone, device_index=index)
