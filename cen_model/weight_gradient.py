# SPDX-License-Identifier: Apache-2.0
"""Gradients of large convolutions' weights as matrix products, on a CPU with AVX2 faster than oneDNN's own kernel.

Axes: B batch, C channels, H W pixels, K kernel size.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SLOW_KERNEL = "AVX2"
"""Of `torch.backends.cpu.get_cpu_capability()`: with AVX-512, its kernel takes 0.7 to 0.9 of the products' time."""

_LEAST_CHANNELS = 128
"""Of a convolution, at both ends: with fewer the products may be slower. From here on they are as fast on images of few
pixels, and up to three times as fast on large ones."""

_LEAST_PIXELS = 2048
"""Of a product; images are taken one by one where they have as many, and together until they do."""


def weight_gradients_by_products(network: nn.Module) -> None:
    """Let a network's large convolutions compute gradients of their weights so, in place.

    In float32 on a CPU with AVX2, that is. Outputs stay the same, gradients do to rounding; names of parameters stay.
    Elsewhere, under autocast and where it is compiled the network runs as it did.
    """
    if torch.backends.cpu.get_cpu_capability() != _SLOW_KERNEL:
        return
    for name, child in list(network.named_modules()):
        if type(child) is nn.Conv2d and _gains(child):
            network.set_submodule(name, _Conv2d.sharing(child))


def weight_gradient(x: Tensor, gradient: Tensor, kernel_size: int, dilation: int = 1) -> Tensor:
    """Of a convolution that keeps the size of its input, by its weight (C', C, K, K).

    Rows of the padded images stand one behind the other, so that every place of the kernel sees the same image from
    another offset: a view, and one product of matrices.

    Args:
        x: input (B, C, H, W).
        gradient: by the output, (B, C', H, W).
    """
    result = x.new_zeros(kernel_size, kernel_size, gradient.shape[1], x.shape[1])
    together = max(1, _LEAST_PIXELS // (x.shape[-2] * x.shape[-1]))
    for images, gradients in zip(x.split(together), gradient.split(together), strict=True):
        _add_products(result, images, gradients, dilation)
    return result.permute(2, 3, 0, 1)


def _add_products(result: Tensor, images: Tensor, gradients: Tensor, dilation: int) -> None:
    size = result.shape[0]
    margin = dilation * (size // 2)
    width = images.shape[-1] + margin  # one row's margin on the right is the next one's on the left
    rows, columns = _padded(images, margin, margin * (width + 1)), _padded(gradients, margin, 0)
    for i in range(size):
        for j in range(size):
            start = dilation * (i * width + j)
            result[i, j].addmm_(columns, rows[:, start : start + columns.shape[1]].T)


def _padded(images: Tensor, margin: int, around: int) -> Tensor:
    """(B, C, H, W) → (C, around + B · (H + margin) · (W + margin) + around), zero where there is no image."""
    batch, channels, height, width = images.shape
    size = batch * (height + margin) * (width + margin)
    flat = images.new_zeros(channels, size + 2 * around)
    inner = flat[:, around : around + size].view(channels, batch, height + margin, width + margin)
    inner[:, :, :height, :width] = images.transpose(0, 1)
    return flat


def _gains(conv: nn.Conv2d) -> bool:
    large = min(conv.in_channels, conv.out_channels) >= _LEAST_CHANNELS
    plain = conv.stride == (1, 1) and conv.groups == 1 and conv.padding_mode == "zeros"
    square = conv.kernel_size == (3, 3) and conv.dilation[0] == conv.dilation[1]
    return large and plain and square and conv.padding == conv.dilation  # which keeps the size


class _Conv2d(nn.Conv2d):
    @classmethod
    def sharing(cls, conv: nn.Conv2d) -> _Conv2d:
        """With the parameters of another one."""
        ours = cls.__new__(cls)
        ours.__dict__.update(conv.__dict__)
        return ours

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        usual = torch.compiler.is_compiling() or torch.is_autocast_enabled(x.device.type) or x.device.type != "cpu"
        if usual or x.dtype != torch.float32:
            return super()._conv_forward(x, weight, bias)
        return _Convolution.apply(x, weight, bias, self.dilation[0])


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dilation, ctx.padding = dilation, dilation * (weight.shape[-1] // 2)
        return F.conv2d(x, weight, bias, padding=ctx.padding, dilation=dilation)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        by_x, by_weight, by_bias, _ = ctx.needs_input_grad
        settings = (None, [1, 1], [ctx.padding] * 2, [ctx.dilation] * 2, False, [0, 0], 1)
        ours = weight_gradient(x, gradient, weight.shape[-1], ctx.dilation) if by_weight else None
        # Not the bias's: the kernel that sums it up computes the weight's too.
        usual = torch.ops.aten.convolution_backward(gradient, x, weight, *settings, [by_x, False, False])
        return usual[0], ours, gradient.sum((0, 2, 3)) if by_bias else None, None
