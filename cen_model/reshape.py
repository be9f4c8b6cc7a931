# SPDX-License-Identifier: Apache-2.0
"""Changes to a CNN's convolutions before it is used: width, dilation, and the number of input channels."""

from __future__ import annotations

import torch
from torch import nn


class NotDilatableError(ValueError):
    """The network reduces its resolution by something else than strided convolutions."""


def scale_width(module: nn.Module, width: float, name: str) -> None:
    """Rebuild every convolution and norm with `width` times its channels, in place and initialised as torchvision does.

    Raises:
        ValueError: a grouped convolution that is not depth-wise: its groups would not divide the new channels.
    """
    for label, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            if child.groups not in (1, child.in_channels):
                raise ValueError(f"encoder={name!r} and encoder_width={width} cannot go together: grouped convolutions")
            in_channels = 3 if child.in_channels == 3 else round(child.in_channels * width)
            setattr(module, label, _conv_like(child, in_channels, round(child.out_channels * width)))
        elif isinstance(child, nn.BatchNorm2d):
            setattr(module, label, nn.BatchNorm2d(round(child.num_features * width), child.eps, child.momentum))
        else:
            scale_width(child, width, name)


def dilate(module: nn.Module, name: str) -> None:
    """Let a chain of stages keep its resolution, in place: strides become dilation, as torchvision's ResNets have it.

    A strided convolution samples at the dilation reached so far, those after it twice as far apart.

    Raises:
        NotDilatableError: the chain pools.
    """
    dilation = 1
    for child in module.modules():
        if isinstance(child, (nn.MaxPool2d, nn.AvgPool2d)):
            raise NotDilatableError(f"{name} has no dilated form, it reduces its resolution by pooling")
        if not isinstance(child, nn.Conv2d):
            continue
        strided, child.stride = max(child.stride) > 1, (1, 1)
        if max(child.kernel_size) > 1:
            child.dilation = (dilation, dilation)
            child.padding = tuple(dilation * (k // 2) for k in child.kernel_size)
            dilation *= 2 if strided else 1


def stem_for(stage: nn.Module, in_channels: int) -> None:
    """Give a network's first convolution C input channels, in place, keeping the pretrained filters.

    Multiples of three (RGB broadened by repetition): exactly the original's answer. Otherwise every channel gets the
    filters' sum over colours: for one channel, exactly the original on that channel repeated three times.
    """
    label, stem = next((name, m) for name, m in stage.named_modules() if isinstance(m, nn.Conv2d))
    new = _conv_like(stem, in_channels, stem.out_channels)
    colours = stem.weight.detach()
    if in_channels % 3:
        colours = colours.sum(dim=1, keepdim=True)
    repeats = in_channels // colours.shape[1]
    with torch.no_grad():
        new.weight.copy_(colours.repeat(1, repeats, 1, 1) / repeats)
        if stem.bias is not None:
            new.bias.copy_(stem.bias)
    parent, _, child = label.rpartition(".")
    setattr(stage.get_submodule(parent), child, new)


def _conv_like(conv: nn.Conv2d, in_channels: int, out_channels: int) -> nn.Conv2d:
    new = nn.Conv2d(
        in_channels,
        out_channels,
        conv.kernel_size,
        conv.stride,
        conv.padding,
        groups=1 if conv.groups == 1 else in_channels,
        bias=conv.bias is not None,
    )
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    return new
