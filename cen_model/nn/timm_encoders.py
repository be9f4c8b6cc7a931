# SPDX-License-Identifier: Apache-2.0
"""timm's CNNs, cut into stages, with their own layers and pretrained weights.

Axes: B batch, C channels, H W pixels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from cen_model.config import NormalizationConfig
from cen_model.nn.efficientnet_lite import PACKAGES, packaged_weights
from cen_model.nn.weight_files import read_weights
from cen_model.utils.validation import unknown

PREFIX = "timm/"
"""What a name of this project has before timm's own name."""

_SIZE = (64, 96)
"""Height and width in pixels of the image that the layers are watched with; other ones for what works on squares."""
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


@dataclass(frozen=True)
class _Call:
    """What a layer was given and what it gave when the network ran."""

    name: str
    layer: nn.Module
    inputs: tuple[Any, ...]
    output: Any


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
    stages, channels = _divide(network, _cuts(network, name, strides), name)
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
    device = torch.get_default_device()
    with torch.device("cpu"):  # some of timm's networks reckon with tensors, which have no values on "meta"
        network = _downloaded(timm, name) if _needs_download(own_name, weights) else timm.create_model(own_name)
    if weights and not _needs_download(own_name, weights):
        _load(network, name, weights)
    return network if device.type == "cpu" else network.to(device)


def _timm(name: str) -> ModuleType:
    try:
        import timm  # takes seconds, and only networks with its encoders need it
    except ImportError as error:
        raise ValueError(f"encoder {name!r} is one of timm's, which is not installed: pip install timm") from error
    return timm


def _needs_download(own_name: str, weights: str | None) -> bool:
    return weights == "imagenet" and own_name.partition(".")[0] not in PACKAGES


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


def _cuts(network: nn.Module, name: str, strides: Sequence[int]) -> list[str]:
    """The names of the layers that give the last features of each stride."""
    last = {each["reduction"]: each["module"] for each in getattr(network, "feature_info", ())}
    if not all(last.get(stride) for stride in strides):
        found = ", ".join(map(str, last)) or "none"
        raise ValueError(f"encoder {name!r} has no features at strides 4, 8, 16 and 32; timm tells of {found}")
    return [last[stride] for stride in strides]


def _divide(network: nn.Module, cuts: Sequence[str], name: str) -> tuple[list[nn.Sequential], list[int]]:
    image, calls = _watch(network, cuts, name)
    stages: list[nn.Sequential] = []
    channels: list[int] = []
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    x = image
    for call in calls:
        if len(call.inputs) != 1 or call.inputs[0] is not x or not isinstance(call.output, Tensor):
            raise ValueError(
                f"encoder {name!r} is no chain of layers: {call.name} takes more than its predecessor gives"
            )
        x = call.output
        layers[call.name.replace(".", "_")] = call.layer
        if call.name == cuts[len(stages)]:
            stages.append(nn.Sequential(layers))
            channels.append(x.shape[1])
            layers = OrderedDict()
        if len(stages) == len(cuts):
            return stages, channels
    raise ValueError(f"encoder {name!r} is no chain of layers: {cuts[len(stages)]} does not run, or not in its turn")


@torch.no_grad()
def _watch(network: nn.Module, cuts: Sequence[str], name: str) -> tuple[Tensor, list[_Call]]:
    """Run the network on an image; return it, and the calls of all layers that no cut lies within, in their order."""
    calls: list[_Call] = []
    hooks = [
        layer.register_forward_hook(lambda layer, inputs, output, at=at: calls.append(_Call(at, layer, inputs, output)))
        for at, layer in _layers(network, cuts)
    ]
    image = torch.zeros(1, 3, *_SIZE)
    try:
        network.eval()(image)
    except Exception as error:  # a network for images of one size may fail in any way
        raise ValueError(f"encoder {name!r} does not take an image of {_SIZE[0]}×{_SIZE[1]}: {error}") from error
    finally:
        network.train()
        for hook in hooks:
            hook.remove()
    return image, calls


def _layers(module: nn.Module, cuts: Sequence[str], prefix: str = "") -> list[tuple[str, nn.Module]]:
    """Names and modules below a module; one that a cut lies within gives way to its contents."""
    layers = []
    for label, child in module.named_children():
        name = f"{prefix}{label}"
        opened = any(cut.startswith(f"{name}.") for cut in cuts)
        layers += _layers(child, cuts, f"{name}.") if opened else [(name, child)]
    return layers


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
