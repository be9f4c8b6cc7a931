# SPDX-License-Identifier: Apache-2.0
"""Changes to a CNN's convolutions before it is used: width, dilation, and the number of input channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class NotDilatableError(ValueError):
    """The network reduces its resolution by something else than strided convolutions."""


def scale_width(module: nn.Module, width: float, name: str) -> None:
    """Rebuild every convolution and norm with `width` times its channels, in place and initialized as torchvision does.

    Raises:
        ValueError: a grouped convolution that is not depth-wise: its groups would not divide the new channels.
    """
    for label, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            if child.groups not in (1, child.in_channels):
                raise ValueError(f"encoder={name!r} and encoder_width={width} cannot go together: grouped convolutions")
            setattr(module, label, _scaled_conv(child, width))
        elif isinstance(child, nn.BatchNorm2d):
            setattr(module, label, nn.BatchNorm2d(_scaled(child.num_features, width), child.eps, child.momentum))
        else:
            scale_width(child, width, name)


def dilate(network: nn.Module, output_stride: int, name: str) -> None:
    """Let a network keep the resolution of `output_stride`, in place: deeper strides become dilation.

    A convolution whose input was `d` times coarser than the output stride samples `d` times as far apart, which is what
    torchvision's dilated ResNets do, and also holds for branches that are strided side by side.

    Args:
        network: takes images of three channels; untrained, in training mode.
        output_stride: 4, 8, 16 or 32.
        name: for the error.

    Raises:
        NotDilatableError: the network pools at that depth, or pads otherwise than by its convolutions.
    """
    for layer, stride in _input_strides(network).items():
        if stride < output_stride:
            continue
        if not isinstance(layer, nn.Conv2d):
            raise NotDilatableError(
                f"encoder={name!r} cannot be dilated to output stride {output_stride}: it down-samples by pooling"
            )
        if max(layer.kernel_size) > 1 and max(layer.padding) == 0:  # as TensorFlow's "same" padding, at one side only
            raise NotDilatableError(
                f"encoder={name!r} cannot be dilated to output stride {output_stride}: its convolutions pad unevenly"
            )
        layer.stride = (1, 1)
        if max(layer.kernel_size) > 1:
            layer.dilation = (stride // output_stride,) * 2
            layer.padding = tuple(stride // output_stride * (k // 2) for k in layer.kernel_size)


def stem_for(stem: Sequence[nn.Conv2d], in_channels: int, name: str) -> None:
    """Give those of a stem's convolutions that see the image C input channels, in place, keeping pretrained filters.

    Multiples of three (RGB broadened by repetition): exactly the original's answer. Otherwise every channel gets the
    filters' sum over colors: for one channel, exactly the original on that channel repeated three times.

    Raises:
        ValueError: no convolution takes three channels.
    """
    first = [conv for conv in stem if conv.in_channels == 3]
    if not first:
        raise ValueError(f"encoder {name!r}: no convolution of its stem takes the image's three channels as they are")
    for conv in first:
        colors = conv.weight.detach()
        if in_channels % 3:
            colors = colors.sum(dim=1, keepdim=True)
        repeats = in_channels // colors.shape[1]
        conv.weight = nn.Parameter(colors.repeat(1, repeats, 1, 1) / repeats)
        conv.in_channels = in_channels


def _scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))


def _scaled_conv(conv: nn.Conv2d, width: float) -> nn.Conv2d:
    in_channels = 3 if conv.in_channels == 3 else _scaled(conv.in_channels, width)
    new = nn.Conv2d(
        in_channels,
        _scaled(conv.out_channels, width),
        conv.kernel_size,
        conv.stride,
        conv.padding,
        groups=1 if conv.groups == 1 else in_channels,
        bias=conv.bias is not None,
    )
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    return new


@torch.no_grad()
def _input_strides(network: nn.Module, side: int = 64) -> dict[nn.Module, int]:
    """By how much the input of each convolution and pooling is coarser than the image."""
    strides: dict[nn.Module, int] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        strides[layer] = side // inputs[0].shape[-1]

    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d))]
    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    network.eval()(torch.zeros(1, 3, side, side))
    network.train()
    for hook in hooks:
        hook.remove()
    return strides
