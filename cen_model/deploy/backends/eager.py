# SPDX-License-Identifier: Apache-2.0
"""PyTorch itself, operation by operation: no compiler, no other library, any device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

_FILE = "program.pt2"


def unavailable(device: torch.device) -> str | None:
    """Never."""
    return None


def versions() -> dict[str, str]:
    return {}


def build(program: torch.export.ExportedProgram, example: Sequence[Tensor], folder: Path, precision: str) -> None:
    torch.export.save(program, folder / _FILE)


def load(folder: Path, device: torch.device) -> Callable[..., tuple[Tensor, ...]]:
    return torch.export.load(folder / _FILE).module()
