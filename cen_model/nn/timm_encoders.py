# SPDX-License-Identifier: Apache-2.0
"""timm's CNNs, cut into stages, with their own layers and pretrained weights."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from torch import nn

from cen_model.config import NormalizationConfig
from cen_model.nn.efficientnet_lite import PACKAGES, packaged_weights
from cen_model.nn.layer_chain import stages_of
from cen_model.nn.weight_files import read_weights
from cen_model.utils.validation import unknown

PREFIX = "timm/"
"""What a name of this project has before timm's own name."""

_OTHER_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm2d)


@dataclass(frozen=True)
class TimmStages:
    """A network of timm in stages.

    Attributes:
        stages: finest first; each maps the features of the one before, the first the image.
        channels: of each stage's features.
        normalization: what timm's weights expect of the image.
    """

    stages: list[nn.Sequential]
    channels: list[int]
    normalization: NormalizationConfig


def timm_stages(name: str, weights: str | None, strides: Sequence[int]) -> TimmStages:
    """Build a network of timm and cut it after its last layers at the given strides.

    Args:
        name: `PREFIX` and timm's name, with or without timm's tag of pretrained weights.
        weights: "imagenet", the path of timm's own state dict (.pth or .safetensors), or None for random weights.
        strides: pixels of the image per pixel of each stage's features.

    Raises:
        ValueError: timm is not installed or does not know the name; or the network has no such features, no BatchNorm
            or other norms beside it, or is no chain of layers; or the weights are another network's.
        OSError: weights that cannot be had, with what to do instead.
    """
    network = _network(name, weights)
    stages, channels = stages_of(network, _cuts(network, name, strides), name)
    norms = [module for stage in stages for module in stage.modules()]
    if not any(isinstance(norm, nn.BatchNorm2d) for norm in norms):
        raise ValueError(f"encoder {name!r} has no BatchNorm: there would be nothing to keep private to a modality")
    if others := {type(norm).__name__ for norm in norms if isinstance(norm, _OTHER_NORMS)}:
        raise ValueError(f"encoder {name!r} has {' and '.join(sorted(others))} beside BatchNorm: no CNN with BatchNorm")
    for stage in stages:
        _take_activations_out(stage)
    about = network.pretrained_cfg
    return TimmStages(stages, channels, NormalizationConfig(tuple(about["mean"]), tuple(about["std"]), scale=255))


def _network(name: str, weights: str | None) -> nn.Module:
    timm, own_name = _timm(name), name.removeprefix(PREFIX)
    names = [*timm.list_models(), *timm.list_pretrained()]  # without timm's tags of pretrained weights, and with
    if own_name not in names:
        raise unknown("encoder", name, [PREFIX + each for each in names])
    if weights == "imagenet" and own_name.partition(".")[0] not in PACKAGES:
        return _downloaded(timm, name)
    network = timm.create_model(own_name)
    if weights:
        _load(network, name, weights)
    return network


def _timm(name: str) -> ModuleType:
    try:
        import timm  # takes seconds, and only networks with its encoders need it
    except ImportError as error:
        raise ValueError(f"encoder {name!r} is one of timm's, which is not installed: pip install timm") from error
    return timm


def _downloaded(timm: ModuleType, name: str) -> nn.Module:
    try:
        return timm.create_model(name.removeprefix(PREFIX), pretrained=True)
    except Exception as error:  # of any of the libraries that download for timm
        raise OSError(
            f"pretrained weights of {name} could not be downloaded ({error}); give encoder_weights a local file "
            "(timm's state dict, .pth or .safetensors), or null to start from random weights"
        ) from error


def _load(network: nn.Module, name: str, weights: str) -> None:
    if weights == "imagenet":
        state = packaged_weights(name.removeprefix(PREFIX).partition(".")[0], network)
    else:
        state = read_weights(weights)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{weights}: not the weights of timm's {name.removeprefix(PREFIX)}: {error}") from error


def _cuts(network: nn.Module, name: str, strides: Sequence[int]) -> dict[str, int]:
    """Return the names of the layers that give the last features of each stride, with the strides."""
    last = {each["reduction"]: each["module"] for each in getattr(network, "feature_info", ())}
    if not all(last.get(stride) for stride in strides):
        found = ", ".join(map(str, last)) or "none"
        raise ValueError(f"encoder {name!r} has no features at strides 4, 8, 16 and 32; timm tells of {found}")
    return {last[stride]: stride for stride in strides}


def _take_activations_out(stage: nn.Module) -> None:
    """Replace each BatchNorm that has its activation inside by a plain one and the activation, in place."""
    from timm.layers import BatchNormAct2d

    for name, norm in list(stage.named_modules()):
        if isinstance(norm, BatchNormAct2d):
            stage.set_submodule(name, _apart(norm))


def _apart(norm: Any) -> nn.Module:
    plain = nn.BatchNorm2d(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    tensors = norm.state_dict()
    plain.load_state_dict({name: tensors[name] for name in plain.state_dict()})
    others = OrderedDict((name, part) for name, part in norm.named_children() if not isinstance(part, nn.Identity))
    return nn.Sequential(OrderedDict(norm=plain, **others)) if others else plain
