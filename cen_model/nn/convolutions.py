# SPDX-License-Identifier: Apache-2.0
"""Convolutions of decoders, with their norms and activations."""

from __future__ import annotations

from torch import nn


def conv(in_channels: int, out_channels: int, kernel_size: int, bias: bool = False) -> nn.Conv2d:
    """A convolution that keeps the size of its input."""
    return nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias)


def conv_norm_relu(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    """Such a convolution, a BatchNorm, and ReLU."""
    return nn.Sequential(conv(in_channels, out_channels, kernel_size), nn.BatchNorm2d(out_channels), nn.ReLU())
