# SPDX-License-Identifier: Apache-2.0
"""Stacked batches and private layers against one module, or one list entry, per modality."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from cen_model.nn import modal
from cen_model.nn.modal import PrivateAffine, PrivateStatistics


def test_broaden_repeats_up_to_the_least_common_multiple():
    a, b = torch.randn(1, 2, 3, 3), torch.randn(1, 3, 3, 3)
    wide_a, wide_b = modal.broaden([a, b])
    torch.testing.assert_close(wide_a, torch.cat([a, a, a], dim=1))
    torch.testing.assert_close(wide_b, torch.cat([b, b], dim=1))


def test_stack_and_split_are_inverse():
    xs = [torch.randn(2, 3, 4, 5) for _ in range(3)]
    for x, y in zip(xs, modal.split(modal.stack(xs), 3), strict=True):
        assert torch.equal(x, y)


def test_broaden_refuses_channels_that_do_not_divide():
    with pytest.raises(ValueError, match="takes 3 channels; 2"):
        modal.broaden([torch.randn(1, 2, 3, 3)], 3)


def norms_and_input(kind, modalities=3):
    torch.manual_seed(1)
    norms = [kind(5, affine=True, track_running_stats=True) for _ in range(modalities)]
    for norm in norms:
        norm.weight.data.normal_()
        norm.bias.data.normal_()
    return norms, torch.randn(modalities * 2, 5, 4, 6) * 3 + 1


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, nn.InstanceNorm2d])
def test_private_statistics_share_scale_and_offset(kind):
    norms, x = norms_and_input(kind)
    layer = PrivateStatistics(copy.deepcopy(norms))
    for norm in norms[1:]:
        norm.load_state_dict(norms[0].state_dict())
    expected = torch.cat([norm(part) for norm, part in zip(norms, x.chunk(3), strict=True)])
    torch.testing.assert_close(layer(x), expected)
    assert sum(p.numel() for p in layer.parameters()) == 2 * 5


def test_private_affine_shares_batch_statistics():
    """Mean and deviation of all modalities' samples together, written out."""
    norms, x = norms_and_input(nn.BatchNorm2d)
    layer = PrivateAffine(norms)
    z = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    parts = [part * n.weight.view(-1, 1, 1) + n.bias.view(-1, 1, 1) for n, part in zip(norms, z.chunk(3), strict=True)]
    torch.testing.assert_close(layer(x), torch.cat(parts))
    assert sum(p.numel() for p in layer.parameters()) == 3 * 2 * 5


def test_private_affine_shares_instance_statistics_per_sample():
    norms, x = norms_and_input(nn.InstanceNorm2d)
    layer = PrivateAffine(norms)
    x_MBCHW = x.unflatten(0, (3, 2))
    mean, var = x_MBCHW.mean((0, 3, 4), keepdim=True), x_MBCHW.var((0, 3, 4), correction=0, keepdim=True)
    z_MBCHW = (x_MBCHW - mean) / (var + 1e-5).sqrt()
    parts = [part * n.weight.view(-1, 1, 1) + n.bias.view(-1, 1, 1) for n, part in zip(norms, z_MBCHW, strict=True)]
    torch.testing.assert_close(layer(x), torch.cat(parts))


def test_private_affine_scales_and_shifts_single_pixels_only():
    norms, _ = norms_and_input(nn.InstanceNorm2d)
    x = torch.randn(6, 5, 1, 1)
    expected = [
        part * n.weight.view(-1, 1, 1) + n.bias.view(-1, 1, 1) for n, part in zip(norms, x.chunk(3), strict=True)
    ]
    torch.testing.assert_close(PrivateAffine(norms)(x), torch.cat(expected))
