# SPDX-License-Identifier: Apache-2.0
"""torchvision's CNNs as pyramids of features, with their own layers and ImageNet weights.

Axes: B batch (M·B once made modal), C channels, H W pixels.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.error import URLError

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from cen_model.nn.encoder_surgery import dilate, scale_width, stem_for
from cen_model.utils.validation import unknown

STRIDES = (4, 8, 16, 32)

Layer = tuple[str, nn.Module]


class Encoder(nn.Module):
    """The convolutional part of a network, in stages.

    Args:
        stages: finest first; each maps the features of the one before, the first the image.
        channels: of each stage's features.
        strides: pixels of the image per pixel of each stage's features.
    """

    def __init__(self, stages: Sequence[nn.Module], channels: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.channels = tuple(channels)
        self.strides = tuple(strides)

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        """Image (B, C, H, W) → features of the stages, finest first."""
        features = []
        for stage in self.stages:
            x_BCHW = stage(x_BCHW)
            features.append(x_BCHW)
        return features


def build_encoder(
    name: str,
    in_channels: int = 3,
    width: float = 1.0,
    weights: str | None = None,
    output_stride: int | None = None,
) -> Encoder:
    """The four stages, at strides 4, 8, 16 and 32, of a torchvision CNN with BatchNorm.

    Args:
        name: such as resnet101, mobilenet_v3_large, efficientnet_b0 or regnet_y_400mf.
        in_channels: channels of the (broadened) input.
        width: factor on every inner channel count.
        weights: "imagenet", the path of a torchvision state dict (.pth or .safetensors), or None for random weights.
        output_stride: one of `STRIDES`; the deeper stages are dilated, so that they keep its resolution.

    Raises:
        NotDilatableError: an output stride for a network that pools below it; a ValueError.
        ValueError: unknown name, a network that is no chain of convolutions with BatchNorm or cannot be scaled as
            asked, weights of another network, or pretrained weights for a changed width.
        OSError: weights that cannot be had, with what to do instead.
    """
    if output_stride not in (None, *STRIDES):
        raise ValueError(f"output_stride must be one of {STRIDES} or None, got {output_stride}")
    network = _torchvision_network(name)
    if weights and width != 1.0:
        raise ValueError(f"encoder_weights={weights!r} needs encoder_width=1, got {width}: the shapes would not fit")
    if weights:
        try:
            network.load_state_dict(_current(_read_weights(name, weights), network))
        except RuntimeError as error:
            raise ValueError(f"{weights}: not the weights of torchvision's {name}: {error}") from error
    if width != 1.0:
        scale_width(network, width, name)
    layers = list(_open(list(network.named_children())))
    try:
        stages, channels = _divide(layers, name)
    except RuntimeError as error:  # of networks that split or concatenate features
        raise ValueError(
            f"encoder={name!r} and encoder_width={width} cannot go together: "
            f"rounded, its channel counts do not add up ({error})"
        ) from error
    encoder = Encoder(stages, channels, [min(stride, output_stride or stride) for stride in STRIDES])
    if output_stride:
        dilate(encoder, output_stride, name)
    if in_channels != 3:
        stem_for(encoder, in_channels)
    return encoder


def _torchvision_network(name: str) -> nn.Module:
    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        raise unknown("encoder", name, names)
    device = torch.get_default_device()
    with torch.device("cpu"):  # torchvision's RegNet reckons with tensors, which have no values on "meta"
        network = torchvision.models.get_model(name)
    if device.type != "cpu":
        network = network.to(device)
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        raise ValueError(f"encoder {name!r} has no BatchNorm: there would be nothing to keep private to a modality")
    return network


def _open(children: list[Layer]) -> Iterator[Layer]:
    """The layers of the convolutional chain; containers that span several resolutions give way to their contents."""
    for name, child in children:
        if isinstance(child, nn.AdaptiveAvgPool2d) or any(isinstance(module, nn.Linear) for module in child.modules()):
            return  # the classifier begins
        if isinstance(child, nn.Sequential) and _reduction(child) > 2:
            yield from _open(list(child.named_children()))
        else:
            yield name, child


def _reduction(module: nn.Module) -> int:
    """By how much the module's strided layers reduce the resolution at most, read off the longest chain of them."""
    if isinstance(module, nn.Sequential):
        product = 1
        for child in module:
            product *= _reduction(child)
        return product
    strides = [_stride(layer) for layer in module.modules() if hasattr(layer, "stride")]
    return max(strides, default=1)


def _stride(layer: nn.Module) -> int:
    return layer.stride if isinstance(layer.stride, int) else max(layer.stride)


@torch.no_grad()
def _divide(layers: list[Layer], name: str) -> tuple[list[nn.Module], list[int]]:
    """Run the chain on a small image and cut it where the resolution is about to be halved."""
    side = 64
    x = torch.zeros(1, 3, side, side)
    stages: OrderedDict[int, list[Layer]] = OrderedDict((stride, []) for stride in STRIDES)
    channels = dict.fromkeys(STRIDES, 0)
    for label, layer in layers:
        x = layer.eval()(x)
        layer.train()
        stride = max(STRIDES[0], side // x.shape[-1])
        if stride not in stages:
            raise ValueError(f"encoder {name!r} has no stages at strides 4, 8, 16 and 32: {label} has stride {stride}")
        stages[stride].append((label, layer))
        channels[stride] = x.shape[1]
    if not all(channels.values()):
        raise ValueError(f"encoder {name!r} is no chain of convolutional layers down to stride {STRIDES[-1]}")
    return [nn.Sequential(OrderedDict(stage)) for stage in stages.values()], list(channels.values())


def _read_weights(name: str, weights: str) -> dict[str, Tensor]:
    if weights == "imagenet":
        try:
            return torchvision.models.get_model_weights(name).DEFAULT.get_state_dict(progress=True, check_hash=True)
        except (URLError, OSError) as error:
            raise OSError(
                f"ImageNet weights of {name} could not be downloaded ({error}); give encoder_weights a local file "
                "(torchvision's state dict, .pth or .safetensors), or null to start from random weights"
            ) from error
    if Path(weights).suffix == ".safetensors":
        return load_file(weights)
    return torch.load(weights, map_location="cpu", weights_only=True)


def _current(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """A state dict as torchvision's classes take it today, whatever their age and the file's format."""
    metadata = getattr(state, "_metadata", None)
    # DenseNet's published files have module names with dots, which PyTorch has since forbidden.
    state = OrderedDict((re.sub(r"(denselayer\d+\.(?:norm|conv))\.", r"\1", key), state[key]) for key in state)
    # MNASNet asks for its version, which safetensors do not carry.
    state._metadata = metadata or {"": {"version": network._version}}
    return state
