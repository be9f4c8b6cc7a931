# SPDX-License-Identifier: Apache-2.0
"""Files with the weights of other libraries' networks."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor


def read_weights(path: str) -> dict[str, Tensor]:
    """Read a state dict: safetensors by its suffix, every other file as PyTorch's, of plain tensors."""
    if Path(path).suffix == ".safetensors":
        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)
