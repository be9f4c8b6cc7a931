# SPDX-License-Identifier: Apache-2.0
"""Computing again changes no number: outputs, gradients, running statistics; it does keep less."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from cen_model.config import SegmentationConfig
from cen_model.models import build
from cen_model.nn.network import MultimodalNetwork
from cen_model.training.recompute import FrugalMaxPool, recompute

INPUTS = {"rgb": torch.randn(2, 3, 64, 96), "depth": torch.rand(2, 1, 64, 96)}


def pair(encoder: str) -> tuple[MultimodalNetwork, MultimodalNetwork]:
    torch.manual_seed(0)
    plain = build(SegmentationConfig(encoder=encoder, encoder_width=0.25, decoder_width=16))
    # BatchNorm over the few pixels of the last stage would make large numbers of rounding.
    for norm in (module for module in plain.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.eps = 1e-2
    frugal = copy.deepcopy(plain)
    recompute(frugal)
    return plain, frugal


def backward(network: MultimodalNetwork) -> dict[str, Tensor]:
    torch.manual_seed(1)  # dropout, stochastic depth
    outputs = network(INPUTS)
    sum(output.square().mean() for output in outputs.values()).backward()
    return outputs


@pytest.mark.parametrize("training", [True, False], ids=["live statistics", "frozen statistics"])
@pytest.mark.parametrize("encoder", ["resnet18", "efficientnet_b0"])
def test_outputs_gradients_and_statistics_stay_the_same(encoder: str, training: bool) -> None:
    plain, frugal = pair(encoder)
    for network in (plain, frugal):
        network.train()
        if not training:
            for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
                norm.eval()
    for _ in range(2):
        expected, outputs = backward(plain), backward(frugal)
    for name, output in outputs.items():
        assert torch.equal(output, expected[name]), name
    for (name, ours), theirs in zip(frugal.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-7, msg=name)
    assert plain.state_dict().keys() == frugal.state_dict().keys()
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, frugal.state_dict()[name]), name
    momenta = [m.momentum for m in frugal.modules() if isinstance(m, nn.BatchNorm2d)]
    assert momenta == [m.momentum for m in plain.modules() if isinstance(m, nn.BatchNorm2d)]


def test_a_second_pass_is_one_of_the_encoder_alone() -> None:
    _, frugal = pair("resnet18")
    runs = []
    for name, module in frugal.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda module, args, name=name: runs.append(name))
    backward(frugal.train())
    assert {name for name in runs if runs.count(name) == 2} == {name for name in runs if name.startswith("encoder")}


def kept(network: MultimodalNetwork) -> int:
    """Bytes that are kept between the passes, weights apart."""
    known = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    storages: dict[int, Tensor] = {}

    def note(saved: Tensor) -> Tensor:
        if saved.untyped_storage().data_ptr() not in known:
            storages[saved.untyped_storage().data_ptr()] = saved
        return saved

    with saved_tensors_hooks(note, lambda saved: saved):
        network(INPUTS)
    return sum(saved.untyped_storage().nbytes() for saved in storages.values())


def test_copies_are_networks_of_their_own() -> None:
    """As a moving average of the weights is."""
    _, frugal = pair("resnet18")
    average = copy.deepcopy(frugal)
    before = average.train()(INPUTS)["rgb"].detach()
    for parameter in frugal.parameters():
        parameter.data.zero_()
    torch.manual_seed(0)
    assert average.eval()(INPUTS)["rgb"].abs().sum() > 0 and before.abs().sum() > 0
    assert not any((norm.running_mean == 0).all() for norm in average.modules() if isinstance(norm, nn.BatchNorm2d))


def test_less_is_kept() -> None:
    plain, frugal = pair("resnet18")
    assert kept(frugal.train()) < 0.75 * kept(plain.train())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(7, 9), (160, 240)], ids=["int16", "int32"])
def test_pooling_is_pytorchs(size: tuple[int, int], layout: torch.memory_format) -> None:
    x = torch.randn(2, 3, *size).contiguous(memory_format=layout)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    weight = torch.randn(2, 3, *size)
    (FrugalMaxPool(5)(ours) * weight).sum().backward()
    (F.max_pool2d(theirs, 5, 1, 2) * weight).sum().backward()
    assert torch.equal(FrugalMaxPool(5)(x), F.max_pool2d(x, 5, 1, 2))
    torch.testing.assert_close(ours.grad, theirs.grad)
