# SPDX-License-Identifier: Apache-2.0
"""torchvision's ResNets as pyramids of features, with their own names and ImageNet weights.

Axes: B batch (M·B once made modal), C channels, H W pixels.
"""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

ENCODERS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


class ResNetEncoder(nn.Module):
    """The convolutional part of a ResNet.

    Args:
        resnet: a torchvision ResNet; its modules are taken over, under their own names.

    Attributes:
        channels: channel counts of the four stages, at strides 4, 8, 16 and 32.
    """

    def __init__(self, resnet: torchvision.models.ResNet) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu, self.maxpool = resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4
        self.channels = tuple(_out_channels(stage) for stage in (self.layer1, self.layer2, self.layer3, self.layer4))

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        """Image (B, C, H, W) → features of the four stages, finest first."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x_BCHW))))
        features = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            features.append(x)
        return features


def build_encoder(name: str, in_channels: int = 3, width: float = 1.0, weights: str | None = None) -> ResNetEncoder:
    """A ResNet encoder.

    Args:
        name: one of `ENCODERS`.
        in_channels: channels of the (broadened) input.
        width: factor on every inner channel count.
        weights: "imagenet", the path of a torchvision state dict (.pth or .safetensors), or None for random weights.

    Raises:
        ValueError: unknown name, weights of another network, or pretrained weights for a changed width.
        OSError: weights that cannot be had, with what to do instead.
    """
    if name not in ENCODERS:
        raise ValueError(f"encoder {name!r} is unknown; expected one of {', '.join(ENCODERS)}")
    if weights and width != 1.0:
        raise ValueError(f"encoder_weights={weights!r} needs encoder_width=1, got {width}: the shapes would not fit")
    resnet = torchvision.models.get_model(name)
    if weights:
        try:
            resnet.load_state_dict(_read_weights(name, weights))
        except RuntimeError as error:
            raise ValueError(f"{weights}: not the weights of torchvision's {name}: {error}") from error
    if width != 1.0:
        _scale_width(resnet, width)
    if in_channels != 3:
        resnet.conv1 = _stem_for(resnet.conv1, in_channels)
    return ResNetEncoder(resnet)


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


def _out_channels(stage: nn.Module) -> int:
    return [m for m in stage[-1].children() if isinstance(m, nn.BatchNorm2d)][-1].num_features


def _scale_width(module: nn.Module, width: float) -> None:
    """Rebuild every convolution and norm with `width` times its channels, initialised as torchvision does."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            in_channels = 3 if child.in_channels == 3 else round(child.in_channels * width)
            setattr(module, name, _conv_like(child, in_channels, round(child.out_channels * width)))
        elif isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.BatchNorm2d(round(child.num_features * width)))
        else:
            _scale_width(child, width)


def _conv_like(conv: nn.Conv2d, in_channels: int, out_channels: int) -> nn.Conv2d:
    new = nn.Conv2d(in_channels, out_channels, conv.kernel_size, conv.stride, conv.padding, bias=conv.bias is not None)
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    return new


def _stem_for(stem: nn.Conv2d, in_channels: int) -> nn.Conv2d:
    """A stem for C input channels that keeps the pretrained filters.

    Multiples of three (RGB broadened by repetition): exactly the original's answer. Otherwise every channel gets the
    filters' sum over colours: for one channel, exactly the original on that channel repeated three times.
    """
    new = _conv_like(stem, in_channels, stem.out_channels)
    colours = stem.weight.detach()
    if in_channels % 3:
        colours = colours.sum(dim=1, keepdim=True)
    repeats = in_channels // colours.shape[1]
    with torch.no_grad():
        new.weight.copy_(colours.repeat(1, repeats, 1, 1) / repeats)
    return new
