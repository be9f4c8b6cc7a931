# SPDX-License-Identifier: Apache-2.0
"""Channel Exchanging Networks: multimodal segmentation models, their training and their use on arrays."""

from __future__ import annotations

from typing import Any

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """Import `load` when it is first asked for, so that `import cen_model` costs nothing without PyTorch."""
    if name == "load":
        from cen_model.checkpoint import load

        return load
    raise AttributeError(f"module 'cen_model' has no attribute {name!r}")
