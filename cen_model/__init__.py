# SPDX-License-Identifier: Apache-2.0
"""Channel Exchanging Networks: multimodal segmentation models, their training and their use on arrays.

The names below are the public API; each is imported when it is first asked for, so that `import cen_model` costs
nothing without PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cen_model.checkpoint import load
    from cen_model.models import build
    from cen_model.predictor import Deployment, Prediction, Predictor
    from cen_model.registry import list_networks
    from cen_model.translator import Translator
    from cen_model.utils.files import list_weights

__all__ = [
    "Deployment",
    "Prediction",
    "Predictor",
    "Translator",
    "__version__",
    "build",
    "list_networks",
    "list_weights",
    "load",
]

_MODULES = {
    "load": "checkpoint",
    "build": "models",
    "Predictor": "predictor",
    "Deployment": "predictor",
    "Prediction": "predictor",
    "Translator": "translator",
    "list_networks": "registry",
    "list_weights": "utils.files",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name == "__version__":
        return _find_version()
    if name not in _MODULES:
        raise AttributeError(f"module 'cen_model' has no attribute {name!r}")
    value = getattr(import_module(f"cen_model.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, imported or not, and the submodules that were imported."""
    return sorted({*globals(), *__all__})


def _find_version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # takes longer than all else here

    try:
        return version("cen_ros")
    except PackageNotFoundError:
        return "0+unknown"  # a source tree that is not installed
