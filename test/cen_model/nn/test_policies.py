# SPDX-License-Identifier: Apache-2.0
"""Each exchange policy does what its name says, channel by channel."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cen_model.config import ExchangeConfig
from cen_model.nn.exchange import ExchangeNorm
from cen_model.nn.policies import POLICIES

C = 20


def layer_and_parts(policy, modalities=2, **settings):
    """An exchanging layer of which every other γ is under θ, its input, and the M normalized parts."""
    torch.manual_seed(3)
    norms = [nn.BatchNorm2d(C) for _ in range(modalities)]
    for m, norm in enumerate(norms):
        norm.weight.data = torch.where((torch.arange(C) + m) % 2 == 0, 1e-3, 0.5 + torch.rand(C))
    layer = ExchangeNorm(norms, ExchangeConfig(policy=policy, **settings))
    x = torch.randn(modalities * 2, C, 4, 4)
    return layer, x, layer.normalize(x)


def scope(m, modalities=2):
    return range(m * C // modalities, (m + 1) * C // modalities)


def test_discard_zeroes_exactly_the_unimportant_channels():
    layer, x, parts = layer_and_parts("discard")
    for m, output in enumerate(layer(x).chunk(2)):
        for c in range(C):
            small = c in scope(m) and layer.norms[m].weight[c] < 2e-2
            assert torch.equal(output[:, c], torch.zeros_like(output[:, c]) if small else parts[m][:, c])


@pytest.mark.parametrize("modalities", [2, 3])
def test_sum_adds_the_mean_of_the_others_in_scope(modalities):
    layer, x, parts = layer_and_parts("sum", modalities)
    for m, output in enumerate(layer(x).chunk(modalities)):
        mean = sum(parts[k] for k in range(modalities) if k != m) / (modalities - 1)
        own = [c for c in range(C) if c * modalities // C == m]
        expected = parts[m].clone()
        expected[:, own] += mean[:, own]
        torch.testing.assert_close(output, expected)
    assert not layer.replaced().any()


def test_soft_gate_is_learned_and_starts_half_open():
    layer, x, parts = layer_and_parts("soft_gate")
    output = layer(x).chunk(2)[0]
    torch.testing.assert_close(output[:, 3], parts[0][:, 3] + 0.5 * parts[1][:, 3])
    assert torch.equal(output[:, 15], parts[0][:, 15]), "outside of its scope a modality stays as it is"
    layer(x).square().sum().backward()
    gradient = layer.policy.logit_MC.grad
    assert (gradient[0, :10] != 0).all() and (gradient[0, 10:] == 0).all()
    layer.policy.logit_MC.data[0] = -50
    torch.testing.assert_close(layer(x).chunk(2)[0], parts[0])


def test_fixed_exchanges_its_portion_whatever_gamma_is():
    layer, x, parts = layer_and_parts("fixed")
    for norm in layer.norms:
        norm.weight.data.fill_(1.0)
    parts = layer.normalize(x)
    rgb, depth = layer(x).chunk(2)
    assert layer.replaced().sum(1).tolist() == [6, 6], "30 % of 20 channels"
    torch.testing.assert_close(rgb, torch.cat([parts[1][:, :6], parts[0][:, 6:]], dim=1))
    torch.testing.assert_close(depth, torch.cat([parts[1][:, :10], parts[0][:, 10:16], parts[1][:, 16:]], dim=1))


def test_random_exchanges_its_portion_of_the_scope_and_survives_saving():
    torch.manual_seed(0)
    norms = [nn.BatchNorm2d(C) for _ in range(2)]
    layers = [ExchangeNorm(norms, ExchangeConfig(policy="random")) for _ in range(5)]
    masks = torch.stack([layer.replaced() for layer in layers])
    assert (masks.sum(2) == 6).all()
    assert not masks[:, 0, 10:].any() and not masks[:, 1, :10].any()
    assert len(masks.flatten(1).unique(dim=0)) > 1, "drawn anew for every layer"
    layers[1].load_state_dict(layers[0].state_dict())
    assert torch.equal(layers[1].replaced(), layers[0].replaced())


@pytest.mark.parametrize("policy", POLICIES)
def test_policies_give_finite_gradients_for_three_modalities(policy):
    layer, x, _ = layer_and_parts(policy, modalities=3)
    x.requires_grad_()
    layer(x).square().sum().backward()
    assert x.grad.isfinite().all()
    assert all(norm.weight.grad.isfinite().all() for norm in layer.norms)
