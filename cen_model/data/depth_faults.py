# SPDX-License-Identifier: Apache-2.0
"""Faults of a depth camera, added to the depth of a data set that has few or had them filled in.

What is modeled is what structured light and stereo do (Khoshelham and Elberink 2012; Sweeney et al. 2019): holes beside
depth steps, on dark, shiny and distant surfaces, in patches and along the image's borders; noise and quantization that
grow with squared range; and a small misregistration of depth to color.

Axes: H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cen_model.data.transforms import Depth, Sample

_SHIFT = 0.01
"""Greatest misregistration, as a share of the image's width."""
_NOISE, _STEP = (0.0, 0.004), (0.0005, 0.004)
"""Deviation of the noise in m, and quantization in 1/m, at 1 m."""
_FAR, _NEAR = (3.5, 9.0), (0.3, 0.7)
"""Limits of the range, in m: what is beyond them is lost."""
_DARK, _SHINY, _UNLUCKY = (0.0, 0.12), (0.92, 1.0), (0.0, 0.7)
"""Brightness in [0, 1] that returns too little of the projected light, or too much of any; share of it that is lost."""
_BORDER, _PATCHY = (0.0, 0.04), (0.0, 0.12)
"""Share of the width of each border that is lost, and of the image that is lost in patches."""
_STEEP, _BESIDE = 0.04, 5
"""Relative step of depth whose surroundings may be lost, and their width in pixels."""


class DepthFaults(nn.Module):
    """With `probability`, a sample's depth is as a camera would have measured it; other samples are left.

    Every strength is drawn anew for each sample, from PyTorch's global CPU generator.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, sample: Sample) -> Sample:
        if "depth" not in sample or float(torch.rand(())) >= self.probability:
            return sample
        z_HW = _measured(_shifted(sample["depth"].as_subclass(Tensor)[0]))
        lost_HW = _beside_steps(z_HW) | _out_of_range(z_HW) | _patches(z_HW, _drawn(_PATCHY)) | _borders(z_HW)
        if "rgb" in sample:
            lost_HW |= _unlucky(z_HW, sample["rgb"].as_subclass(Tensor))
        return sample | {"depth": Depth(torch.where(lost_HW, 0.0, z_HW)[None])}


def _drawn(limits: Sequence[float]) -> float:
    return float(torch.empty(()).uniform_(*limits))


def _shifted(z_HW: Tensor) -> Tensor:
    most = round(_SHIFT * z_HW.shape[1])
    dy, dx = torch.randint(-most, most + 1, (2,)).tolist()
    return z_HW.roll((dy, dx), (0, 1))


def _measured(z_HW: Tensor) -> Tensor:
    """Noise of the range, then disparity in whole steps; a hole stays one."""
    noise = torch.randn(z_HW.shape).to(z_HW.device)
    noisy = (z_HW + _drawn(_NOISE) * z_HW.square() * noise).clamp(min=0.1)
    step = _drawn(_STEP)
    return torch.where(z_HW > 0, 1 / ((1 / noisy / step).round().clamp(min=1) * step), 0.0)


def _beside_steps(z_HW: Tensor) -> Tensor:
    """Some of what is near a step of depth: there, two depths share a matching window."""
    farthest = F.max_pool2d(z_HW[None], _BESIDE, 1, _BESIDE // 2)[0]
    nearest = -F.max_pool2d(-z_HW[None], _BESIDE, 1, _BESIDE // 2)[0]
    return (farthest - nearest > _STEEP * farthest) & _patches(z_HW, float(torch.rand(())))


def _out_of_range(z_HW: Tensor) -> Tensor:
    return (z_HW > _drawn(_FAR)) | (z_HW < _drawn(_NEAR))


def _unlucky(z_HW: Tensor, rgb_3HW: Tensor) -> Tensor:
    """Some of what is very dark or shines."""
    brightness = rgb_3HW.float().mean(0) / 255
    return ((brightness < _drawn(_DARK)) | (brightness > _drawn(_SHINY))) & _patches(z_HW, _drawn(_UNLUCKY))


def _borders(z_HW: Tensor) -> Tensor:
    lost = torch.ones_like(z_HW, dtype=torch.bool)
    (top, bottom), (left, right) = ([round(_drawn(_BORDER) * z_HW.shape[1]) for _ in range(2)] for _ in range(2))
    lost[top : z_HW.shape[0] - bottom, left : z_HW.shape[1] - right] = False
    return lost


def _patches(z_HW: Tensor, share: float) -> Tensor:
    """About that share of an image, in patches of a random size."""
    height, width = z_HW.shape
    cell = _drawn((0.02, 0.1)) * width
    coarse = torch.rand(1, 1, int(height / cell) + 2, int(width / cell) + 2)
    fine = F.interpolate(coarse, (height, width), mode="bilinear")[0, 0]
    return (fine < fine.quantile(share)).to(z_HW.device)
