# SPDX-License-Identifier: Apache-2.0
"""Conditional norms against private norms and against the explicit formula."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cen_model.nn.conditional import ConditionalNorm
from cen_model.nn.modal import PrivateNorm

C = 32


def norms_and_input(kind=nn.BatchNorm2d):
    torch.manual_seed(0)
    norms = [kind(C, affine=True, track_running_stats=True) for _ in range(3)]
    for norm in norms:
        for values in (norm.weight.data, norm.bias.data, norm.running_mean):
            values.normal_()
        norm.running_var.uniform_(0.5, 2.0)
    norms[1].weight.data.zero_()
    return norms, torch.randn(6, C, 4, 4) + 1


def modulating(norms):
    """A conditional norm whose perceptrons predict something."""
    layer = ConditionalNorm(copy.deepcopy(norms))
    for perceptron in layer.perceptrons:
        perceptron[2].weight.data.normal_()
    return layer


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", [nn.BatchNorm2d, nn.InstanceNorm2d])
def test_they_start_as_private_norms(kind, training):
    norms, x = norms_and_input(kind)
    private = PrivateNorm(copy.deepcopy(norms)).train(training)
    conditional = ConditionalNorm(norms).train(training)
    torch.testing.assert_close(conditional(x), private(x))
    torch.testing.assert_close(conditional.eval()(x), private.eval()(x), msg="after the update of running statistics")


@pytest.mark.parametrize("training", [True, False])
def test_all_but_the_first_are_modulated(training):
    norms, x = norms_and_input()
    layer = modulating(norms).train(training)
    a, b, c = x.chunk(3)
    first = norms[0].train(training)(a)
    expected = [first]
    for part, norm, perceptron in zip((b, c), norms[1:], layer.perceptrons, strict=True):
        hidden = (first.mean((2, 3)) @ perceptron[0].weight.T + perceptron[0].bias).clamp_min(0)
        delta = (hidden @ perceptron[2].weight.T + perceptron[2].bias).view(2, C, 2)
        whitened = F.batch_norm(part, norm.running_mean.clone(), norm.running_var.clone(), training=training)
        scale, offset = norm.weight + delta[..., 0], norm.bias + delta[..., 1]
        expected.append(whitened * scale[:, :, None, None] + offset[:, :, None, None])
    torch.testing.assert_close(layer(x), torch.cat(expected))


def test_the_first_modality_learns_from_the_others_through_the_modulation():
    norms, x = norms_and_input()
    layer, x = modulating(norms), x.requires_grad_()
    layer(x)[2:].square().sum().backward()
    assert x.grad[:2].any() and x.grad.isfinite().all()
    for name, parameter in layer.named_parameters():
        assert parameter.grad.any() and parameter.grad.isfinite().all(), name


def test_every_weight_can_leave_its_start():
    """The last layer of a perceptron starts at zero, and it has a gradient there."""
    norms, x = norms_and_input()
    layer = ConditionalNorm(norms)
    layer(x)[2:].square().sum().backward()
    assert all(perceptron[-1].weight.grad.any() for perceptron in layer.perceptrons)


@pytest.mark.parametrize(("channels", "hidden"), [(32, 8), (256, 16)])
def test_perceptrons_have_a_bottleneck(channels, hidden):
    layer = ConditionalNorm([nn.BatchNorm2d(channels) for _ in range(2)])
    assert [each.out_features for each in layer.perceptrons[0] if isinstance(each, nn.Linear)] == [hidden, 2 * channels]
