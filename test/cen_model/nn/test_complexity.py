# SPDX-License-Identifier: Apache-2.0
"""What networks cost: against formulas, torchvision's published figures and sums made by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import MobileNet_V3_Large_Weights, ResNet50_Weights, mobilenet_v3_large, resnet50

from cen_model.nn.complexity import measure_cost


class TakesRgb(nn.Module):
    """A network of one image, called as ours are: with a dict."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, inputs):
        return self.network(inputs["rgb"])


def cost(network, *shape, device="meta"):
    return measure_cost(TakesRgb(network).to(device), {"rgb": torch.empty(*shape, device=device)})


@pytest.mark.parametrize(("groups", "stride", "padding"), [(1, 1, 0), (1, 2, 1), (4, 2, 2)])
def test_flops_of_a_convolution_equal_the_formula(groups, stride, padding):
    """Two for each weight and output pixel."""
    conv = nn.Conv2d(8, 12, (3, 5), stride, padding, groups=groups)
    height, width = (20 + 2 * padding - 3) // stride + 1, (30 + 2 * padding - 5) // stride + 1
    assert cost(conv, 2, 8, 20, 30).flops == 2 * (2 * 12 * height * width) * (8 // groups * 3 * 5)


@pytest.mark.parametrize(
    ("build", "weights"), [(resnet50, ResNet50_Weights), (mobilenet_v3_large, MobileNet_V3_Large_Weights)]
)
def test_torchvisions_published_figures(build, weights):
    """Published are multiply-adds at 224×224, in units of 10⁹ with three decimals."""
    with torch.device("meta"):
        measured = cost(build(), 1, 3, 224, 224)
    published = weights.IMAGENET1K_V1.meta
    assert measured.parameters == published["num_params"]
    assert measured.flops / 2e9 == pytest.approx(published["_ops"], abs=6e-4)


def test_shared_parameters_count_once():
    first, second = nn.Linear(10, 10), nn.Linear(10, 10)
    second.weight = first.weight
    twice = nn.Sequential(first, second, first)
    inputs = {"rgb": torch.empty(1, 10)}
    assert measure_cost(TakesRgb(twice), inputs).parameters == 10 * 10 + 2 * 10


def test_fusion_parameters_are_those_of_the_part_that_is_named():
    network = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    inputs = {"rgb": torch.empty(1, 4)}
    assert measure_cost(TakesRgb(network), inputs, fusion=network[1]).fusion_parameters == 3 * 2 + 2
    assert measure_cost(TakesRgb(network), inputs).fusion_parameters == 0


def conv(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class Residual(nn.Module):
    """16 channels that a branch starts from and a shortcut takes up again."""

    def __init__(self):
        super().__init__()
        self.first, self.branch, self.shortcut = conv(3, 16), nn.Sequential(conv(16, 16), conv(16, 8)), conv(16, 8)

    def forward(self, x):
        x = self.first(x)
        branch = self.branch(x)
        return self.shortcut(x) + branch


class AddsBuffer(nn.Module):
    """A view of a buffer of 100 values, and two copies made from it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("values", torch.zeros(100, 1))

    def forward(self, x):
        return (self.values.view(1, 100).t() + 1) * 2


# A channel of an 8×8 image in float32 is 256 bytes. The input, three channels, lives all the time.
CHANNEL = 8 * 8 * 4
INPUT = 3 * CHANNEL


@pytest.mark.parametrize(
    ("network", "peak"),
    [
        # A chain holds the input and the output of the convolution that is running, first or last.
        (nn.Sequential(conv(3, 16), conv(16, 4), conv(4, 8)), INPUT + (16 + 4) * CHANNEL),
        (nn.Sequential(conv(3, 16), conv(16, 4), conv(4, 32)), INPUT + (4 + 32) * CHANNEL),
        # Nothing is kept for a backward pass, and dropout does nothing.
        (nn.Sequential(*(conv(3, 3) for _ in range(9)), nn.Dropout()), INPUT + (3 + 3) * CHANNEL),
        (nn.Sequential(conv(3, 16), nn.ReLU()), INPUT + (16 + 16) * CHANNEL),
        (nn.Sequential(conv(3, 16), nn.ReLU(inplace=True)), INPUT + 16 * CHANNEL),
        (nn.Sequential(conv(3, 16), nn.Flatten(), nn.Unflatten(1, (4, 256))), INPUT + 16 * CHANNEL),
        # In the branch's second convolution: where it started, its 16 channels, and the 8 that come of them.
        (Residual(), INPUT + (16 + 16 + 8) * CHANNEL),
        # The buffer is no activation, and neither is a view of it.
        (AddsBuffer(), INPUT + 2 * 400),
    ],
)
def test_peak_memory_equals_a_sum_by_hand(network, peak):
    assert cost(network, 1, 3, 8, 8, device="cpu").peak_activation_bytes == peak
    assert cost(network, 1, 3, 8, 8, device="meta").peak_activation_bytes == peak


def test_peak_memory_knows_the_size_of_a_number():
    inputs = {"rgb": torch.empty(1, 3, 8, 8, dtype=torch.half, device="meta")}
    measured = measure_cost(TakesRgb(conv(3, 16).to("meta", torch.half)), inputs)
    assert measured.peak_activation_bytes == (INPUT + 16 * CHANNEL) // 2
