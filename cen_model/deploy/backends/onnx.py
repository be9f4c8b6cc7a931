# SPDX-License-Identifier: Apache-2.0
"""ONNX, run by ONNX Runtime on the CPU; the file can be taken elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

_FILE = "engine.onnx"
_LIBRARIES = ("onnx", "onnxscript", "onnxruntime")


def unavailable(device: torch.device) -> str | None:
    """Why it cannot be used on the device; None where it can."""
    if device.type != "cpu":
        return f"it is set up for the CPU, not for {device.type}"
    missing = [name for name in _LIBRARIES if not find_spec(name)]
    return f"missing: pip install {' '.join(missing)}" if missing else None


def versions() -> dict[str, str]:
    return {name: version(name) for name in _LIBRARIES}


def build(program: torch.export.ExportedProgram, example: Sequence[Tensor], folder: Path, precision: str) -> None:
    torch.onnx.export(program, (), folder / _FILE, external_data=True, verbose=False)


def load(folder: Path, device: torch.device) -> Callable[..., tuple[Tensor, ...]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / _FILE, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        feed = {name: each.numpy() for name, each in zip(names, inputs, strict=True)}
        return tuple(torch.from_numpy(value) for value in session.run(None, feed))

    return run
