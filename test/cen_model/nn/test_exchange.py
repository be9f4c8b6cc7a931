# SPDX-License-Identifier: Apache-2.0
"""Channel exchange against a slow reference that keeps one list entry per modality and loops over channels."""

from __future__ import annotations

import copy
import itertools
from functools import partial

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v3_small, resnet18, resnet50

from cen_model.config import ExchangeConfig
from cen_model.nn import exchange, modal
from cen_model.nn.exchange import ExchangeNorm, to_modal
from cen_model.nn.modal import PrivateConv, PrivateNorm

THETA = 2e-2


def exchanging(**settings):
    """What `to_modal` takes to put exchange into a network."""
    return partial(ExchangeNorm, config=ExchangeConfig(**settings))


def norms_with_small_gammas(modalities, channels, kind=nn.BatchNorm2d):
    """Norms of which about half the scaling factors are under θ, some of them negative."""
    norms = [kind(channels, affine=True) for _ in range(modalities)]
    for norm in norms:
        gamma = torch.rand(channels) * 2 - 1
        norm.weight.data = torch.where(torch.rand(channels) < 0.5, gamma * THETA * 0.9, gamma + gamma.sign() * THETA)
        norm.bias.data.normal_()
    return norms


def parts_of(channels, modalities):
    """Channel ranges of the M parts by NumPy's rule of equal parts, written out."""
    edges = [-(-m * channels // modalities) for m in range(modalities + 1)]
    return [range(a, b) for a, b in itertools.pairwise(edges)]


def reference(xs, norms, scope):
    """Eq. 5 and 6, channel by channel."""
    normalized = [norm(x) for norm, x in zip(norms, xs, strict=True)]
    outputs = []
    for m, norm in enumerate(norms):
        channels = []
        for c in range(norm.num_features):
            allowed = scope == "all" or c in parts_of(norm.num_features, len(norms))[m]
            if allowed and abs(norm.weight[c].item()) < THETA:
                others = [normalized[k][:, c] for k in range(len(norms)) if k != m]
                channels.append(torch.stack(others).mean(0))
            else:
                channels.append(normalized[m][:, c])
        outputs.append(torch.stack(channels, dim=1))
    return outputs


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, nn.InstanceNorm2d])
@pytest.mark.parametrize("scope", ["own", "all"])
@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_values_and_gradients_agree_with_the_reference(modalities, scope, kind):
    torch.manual_seed(modalities)
    norms = norms_with_small_gammas(modalities, 10, kind)
    ours = ExchangeNorm(copy.deepcopy(norms), ExchangeConfig(scope=scope, threshold=THETA))
    xs = [torch.randn(2, 10, 5, 4, requires_grad=True) for _ in range(modalities)]
    ys = [x.detach().clone().requires_grad_() for x in xs]
    expected = torch.cat(reference(xs, norms, scope))
    actual = ours(modal.stack(ys))
    torch.testing.assert_close(actual, expected)
    assert ours.replaced().any(), "nothing was exchanged: the test shows nothing"

    weight = torch.randn_like(expected)
    (expected * weight).sum().backward()
    (actual * weight).sum().backward()
    for x, y, norm, our_norm in zip(xs, ys, norms, ours.norms, strict=True):
        torch.testing.assert_close(y.grad, x.grad)
        torch.testing.assert_close(our_norm.weight.grad, norm.weight.grad)
        torch.testing.assert_close(our_norm.bias.grad, norm.bias.grad)


@pytest.mark.parametrize("modalities", [2, 3, 4])
@pytest.mark.parametrize("penalized", ["none", "own", "all"])
def test_sparsity_is_the_l1_norm_of_the_penalized_part(modalities, penalized):
    norms = norms_with_small_gammas(modalities, 10)
    layer = ExchangeNorm(norms, ExchangeConfig(penalized=penalized))
    parts = {"none": [[]] * modalities, "own": parts_of(10, modalities), "all": [range(10)] * modalities}[penalized]
    expected = sum(abs(norm.weight[c].item()) for norm, part in zip(norms, parts, strict=True) for c in part)
    assert layer.sparsity().item() == pytest.approx(expected)


def test_a_channel_replaced_on_both_sides_is_swapped():
    """With scope "all" both modalities may give up the same channel: each gets the other's (published code)."""
    norms = norms_with_small_gammas(2, 4)
    for norm in norms:
        norm.weight.data.fill_(THETA / 2)
    x = torch.randn(6, 4, 3, 3)
    swapped = ExchangeNorm(norms, ExchangeConfig(scope="all"))(x)
    own = PrivateNorm(norms)(x)
    torch.testing.assert_close(swapped, torch.cat(own.chunk(2)[::-1]))


@pytest.mark.parametrize("convs", ["shared", "private"])
def test_modal_resnet_with_equal_inputs_is_the_original(convs):
    """Copies of the norms with equal inputs: exchanging channels changes nothing, so pretrained weights survive."""
    torch.manual_seed(0)
    original = resnet18(num_classes=7)
    for module in original.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(-0.1, 0.5)
    original.eval()
    network = to_modal(copy.deepcopy(original), 3, exchanging(scope="all"), convs=convs).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected, outputs = original(x), modal.split(network(x.repeat(3, 1, 1, 1)), 3)
    assert exchange.exchanged_share(network) > 0
    for output in outputs:
        torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
    assert sum(isinstance(m, PrivateConv) for m in network.modules()) == (20 if convs == "private" else 0)


def test_exchange_follows_k_by_k_convolutions_only():
    network = to_modal(resnet18(), 2, ExchangeNorm)
    kinds = {name: type(m) for name, m in network.named_modules() if isinstance(m, PrivateNorm)}
    assert kinds["bn1"] is PrivateNorm, "the stem does not exchange"
    assert kinds["layer2.0.downsample.1"] is PrivateNorm, "1×1 convolutions do not exchange"
    assert kinds["layer2.0.bn1"] is kinds["layer2.0.bn2"] is ExchangeNorm
    assert len(list(exchange.exchange_norms(network))) == 16


def test_depth_wise_convolutions_count_as_k_by_k():
    network = to_modal(mobilenet_v3_small(), 2, ExchangeNorm)
    depth_wise = [m for m in mobilenet_v3_small().modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert len(list(exchange.exchange_norms(network))) == len(depth_wise) == 11


def test_downsampling_layers_are_those_with_a_stride():
    network = to_modal(resnet50(), 2, ExchangeNorm, strided_only=True)
    exchanging_layers = [name for name, m in network.named_modules() if isinstance(m, ExchangeNorm)]
    assert exchanging_layers == ["layer2.0.bn2", "layer3.0.bn2", "layer4.0.bn2"]


def test_the_first_convolution_counts_on_demand():
    assert isinstance(to_modal(resnet18(), 2, ExchangeNorm, stem=0).bn1, ExchangeNorm)


def test_no_scope_leaves_the_private_norms_but_keeps_the_penalty():
    norms = norms_with_small_gammas(2, 6)
    layer = ExchangeNorm(norms, ExchangeConfig(scope="none", penalized="all"))
    x = torch.randn(4, 6, 3, 3)
    assert torch.equal(layer(x), PrivateNorm(norms)(x))
    assert layer.sparsity() > 0


def test_one_modality_is_left_alone():
    network = resnet18()
    assert not any(isinstance(m, PrivateNorm) for m in to_modal(network, 1, ExchangeNorm).modules())


def test_impossible_exchange_is_refused():
    with pytest.raises(ValueError, match="at least two modalities"):
        ExchangeNorm([nn.BatchNorm2d(4)])
    with pytest.raises(ValueError, match="affine"):
        ExchangeNorm([nn.InstanceNorm2d(4), nn.InstanceNorm2d(4)])
