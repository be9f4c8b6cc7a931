# SPDX-License-Identifier: Apache-2.0
"""CNNs of torchvision and timm as pyramids of features, with their own layers and ImageNet weights.

Axes: B batch (M·B once made modal), C channels, H W pixels.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Literal
from urllib.error import URLError

import torch
import torchvision
from torch import Tensor, nn

from cen_model.config import NormalizationConfig
from cen_model.nn.efficientnet_lite import PACKAGES
from cen_model.nn.encoder_surgery import dilate, scale_width, stem_for
from cen_model.nn.timm_encoders import PREFIX, timm_stages
from cen_model.nn.weight_files import read_weights
from cen_model.utils.validation import unknown

STRIDES = (4, 8, 16, 32)

Layer = tuple[str, nn.Module]


class Encoder(nn.Module):
    """The convolutional part of a network, in stages.

    Args:
        stages: finest first; each maps the features of the one before, the first the image.
        channels: of each stage's features.
        strides: pixels of the image per pixel of each stage's features.
        normalization: what its pretrained weights expect of the image; None: `cen_model.modalities`' own of rgb.
    """

    def __init__(
        self,
        stages: Sequence[nn.Sequential],
        channels: Sequence[int],
        strides: Sequence[int] = STRIDES,
        normalization: NormalizationConfig | None = None,
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.channels = tuple(channels)
        self.strides = tuple(strides)
        self.normalization = normalization

    @property
    def stem(self) -> list[nn.Conv2d]:
        """The convolutions of the first layer that has any."""
        convs = ([m for m in layer.modules() if isinstance(m, nn.Conv2d)] for layer in self.stages[0])
        return next(filter(None, convs))

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
    """The four stages, at strides 4, 8, 16 and 32, of a CNN with BatchNorm.

    Args:
        name: of torchvision, such as resnet101, mobilenet_v3_large or regnet_y_400mf; or of timm, such as
            timm/tf_efficientnet_lite0.
        in_channels: channels of the (broadened) input.
        width: factor on every inner channel count; 1 for timm's.
        weights: "imagenet", the path of the library's own state dict (.pth or .safetensors), or None for random
            weights.
        output_stride: one of `STRIDES`; the deeper stages are dilated, so that they keep its resolution.

    Raises:
        NotDilatableError: an output stride for a network that pools below it; a ValueError.
        ValueError: unknown name, a network that is no chain of convolutions with BatchNorm or cannot be scaled as
            asked, weights of another network, or pretrained weights for a changed width; or timm is not installed.
        OSError: weights that cannot be had, with what to do instead.
    """
    if output_stride not in (None, *STRIDES):
        raise ValueError(f"output_stride must be one of {STRIDES} or None, got {output_stride}")
    if weights and width != 1.0:
        raise ValueError(f"encoder_weights={weights!r} needs encoder_width=1, got {width}: the shapes would not fit")
    encoder = (_from_timm if name.startswith(PREFIX) else _from_torchvision)(name, width, weights)
    if output_stride:
        dilate(encoder, output_stride, name)
        encoder.strides = tuple(min(stride, output_stride) for stride in STRIDES)
    if in_channels != 3:
        stem_for(encoder.stem, in_channels, name)
    return encoder


def imagenet_weights_come_as(name: str) -> Literal["package", "download"]:
    """Tell how an encoder's `weights="imagenet"` come: with a package of the extra `pretrained`, or from a server."""
    return "package" if name.startswith(PREFIX) and name.removeprefix(PREFIX) in PACKAGES else "download"


def _from_timm(name: str, width: float, weights: str | None) -> Encoder:
    if width != 1.0:
        raise ValueError(f"encoder={name!r} needs encoder_width=1, got {width}: only torchvision's CNNs are scaled")
    parts = timm_stages(name, weights, STRIDES)
    return Encoder(parts.stages, parts.channels, normalization=parts.normalization)


def _from_torchvision(name: str, width: float, weights: str | None) -> Encoder:
    network = _torchvision_network(name)
    if weights:
        try:
            network.load_state_dict(_current(_read_weights(name, weights), network))
        except RuntimeError as error:
            raise ValueError(f"{weights}: not the weights of torchvision's {name}: {error}") from error
    if width != 1.0:
        scale_width(network, width, name)
    layers = list(_open(list(network.named_children())))
    try:
        return Encoder(*_divide(layers, name))
    except RuntimeError as error:  # of networks that split or concatenate features
        raise ValueError(
            f"encoder={name!r} and encoder_width={width} cannot go together: "
            f"rounded, its channel counts do not add up ({error})"
        ) from error


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
def _divide(layers: list[Layer], name: str) -> tuple[list[nn.Sequential], list[int]]:
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
    return read_weights(weights)


def _current(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """A state dict as torchvision's classes take it today, whatever their age and the file's format."""
    metadata = getattr(state, "_metadata", None)
    # DenseNet's published files have module names with dots, which PyTorch has since forbidden.
    state = OrderedDict((re.sub(r"(denselayer\d+\.(?:norm|conv))\.", r"\1", key), state[key]) for key in state)
    # MNASNet asks for its version, which safetensors do not carry.
    state._metadata = metadata or {"": {"version": network._version}}
    return state
