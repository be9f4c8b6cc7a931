# SPDX-License-Identifier: Apache-2.0
"""Convolutions of decoders, with their norms and activations."""

from __future__ import annotations

from torch import nn


def conv_norm_relu(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    """A convolution that keeps the size of its input, a BatchNorm, and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )
