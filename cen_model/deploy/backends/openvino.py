# SPDX-License-Identifier: Apache-2.0
"""OpenVINO on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor

_PRECISION = "INFERENCE_PRECISION_HINT"
_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_SUFFIX = ".blob"


def unavailable(device: torch.device) -> str | None:
    """Why it cannot be used on the device; None where it can."""
    if device.type != "cpu":
        return f"it is for the CPU, not for {device.type}"
    return None if find_spec("openvino") else "it is not installed (pip install openvino)"


def versions() -> dict[str, str]:
    return {"openvino": version("openvino")}


def build(program: torch.export.ExportedProgram, example: Sequence[Tensor], folder: Path, precision: str) -> None:
    import openvino

    hint = _HINTS[precision]
    settings = {_PRECISION: hint, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(openvino.convert_model(program), "CPU", settings)
    with BytesIO() as blob:
        compiled.export_model(blob)
        (folder / hint).with_suffix(_SUFFIX).write_bytes(blob.getvalue())


def load(folder: Path, device: torch.device) -> Callable[..., tuple[Tensor, ...]]:
    import openvino

    (path,) = folder.glob(f"*{_SUFFIX}")
    # An engine forgets its precision: where the processor has bfloat16, it would compute in that.
    compiled = openvino.Core().import_model(path.read_bytes(), "CPU", {_PRECISION: path.stem})
    request = compiled.create_infer_request()

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        results = request.infer([openvino.Tensor(each.numpy(), shared_memory=True) for each in inputs])
        return tuple(torch.from_numpy(value) for value in results.values())

    return run
