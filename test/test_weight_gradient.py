# SPDX-License-Identifier: Apache-2.0
"""Gradients of weights by matrix products are those of autograd, and are used where they are meant to be."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.profiler import ProfilerActivity, profile

from cen_model.config import SegmentationConfig
from cen_model.models import build
from cen_model.weight_gradient import weight_gradient, weight_gradients_by_products


@pytest.fixture(autouse=True)
def avx2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this processor is: what is computed is the same."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_gradient_is_autograds(kernel_size: int, dilation: int, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 5, 7, 6, dtype=torch.float64).contiguous(memory_format=layout)
    weight = torch.randn(4, 5, kernel_size, kernel_size, dtype=torch.float64, requires_grad=True)
    output = F.conv2d(x, weight, padding=dilation * (kernel_size // 2), dilation=dilation)
    gradient = torch.randn_like(output)
    output.backward(gradient)
    ours = weight_gradient(x, gradient.contiguous(memory_format=layout), kernel_size, dilation)
    torch.testing.assert_close(ours, weight.grad)


class Convolutions(nn.Module):
    """Two that are large enough, one of them with bias and dilation, and others that are not to be touched."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(3, 128, 3, padding=1)
        self.large = nn.Conv2d(128, 136, 3, padding=1, bias=False)
        self.dilated = nn.Conv2d(136, 128, 3, padding=2, dilation=2)
        self.strided = nn.Conv2d(128, 128, 3, padding=1, stride=2)
        self.grouped = nn.Conv2d(128, 256, 3, padding=1, groups=2)
        self.reflected = nn.Conv2d(256, 128, 3, padding=1, padding_mode="reflect")
        self.unpadded = nn.Conv2d(128, 128, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for convolution in self.children():
            x = convolution(x)
        return x


def products(network: nn.Module, x: torch.Tensor) -> int:
    """How many there are in a step, gradients included."""
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        network(x).float().square().mean().backward()
    return sum(event.count for event in recorded.key_averages() if event.key == "aten::addmm_")


def test_large_convolutions_alone_use_it() -> None:
    torch.manual_seed(0)
    plain = Convolutions()
    ours = copy.deepcopy(plain)
    weight_gradients_by_products(ours)
    x = torch.randn(2, 3, 12, 14)
    assert torch.equal(ours(x), plain(x))
    assert products(plain, x) == 0
    assert products(ours, x) == 2 * 9
    for (name, parameter), expected in zip(ours.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected.grad, msg=name)
    assert ours.state_dict().keys() == plain.state_dict().keys()


def test_a_processor_with_a_faster_kernel_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    network = Convolutions()
    weight_gradients_by_products(network)
    assert products(network, torch.randn(2, 3, 12, 14)) == 0


def test_autocast_and_compiled_networks_do_without() -> None:
    network, x = Convolutions(), torch.randn(2, 3, 12, 14)
    weight_gradients_by_products(network)
    with torch.autocast("cpu", torch.bfloat16):
        assert products(network, x) == 0
    program = torch.export.export(network.eval(), (x,))
    assert [str(node.target) for node in program.graph.nodes].count("aten.conv2d.default") == 7


def test_frozen_and_copied_weights() -> None:
    network, x = Convolutions(), torch.randn(2, 3, 12, 14)
    weight_gradients_by_products(network)
    network.large.requires_grad_(False)
    assert products(copy.deepcopy(network), x) == 9
    network(x).sum().backward()
    assert network.large.weight.grad is None and network.dilated.weight.grad is not None


def test_a_whole_network_trains_alike() -> None:
    torch.manual_seed(0)
    plain = build(SegmentationConfig(encoder="resnet18", decoder_width=128)).train()
    for norm in (module for module in plain.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.eps = 1e-2  # over few pixels it would make large numbers of rounding
    ours = copy.deepcopy(plain)
    weight_gradients_by_products(ours)
    inputs = {"rgb": torch.randn(2, 3, 64, 96), "depth": torch.rand(2, 1, 64, 96)}
    for network in (plain, ours):
        torch.manual_seed(1)  # dropout
        sum(output.square().mean() for output in network(inputs).values()).backward()
    for (name, parameter), expected in zip(ours.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected.grad, rtol=1e-4, atol=1e-6, msg=name)
