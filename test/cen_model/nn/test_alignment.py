# SPDX-License-Identifier: Apache-2.0
"""The alignment loss against a slow, explicit one, and what it is for: it brings modalities together."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cen_model.nn.alignment import Align, mk_mmd


def samples(*shape):
    torch.manual_seed(0)
    return torch.randn(2, *shape)


def slow_mk_mmd(x, y, kernels=11):
    samples = np.concatenate([x, y]).astype(np.float64)
    n, count = len(x), len(samples)
    distance = np.array([[((a - b) ** 2).sum() for b in samples] for a in samples])
    bandwidth = distance.sum() / (count * (count - 1))
    total = 0.0
    for k in range(kernels):
        kernel = np.exp(-distance / (bandwidth * 2.0 ** (k - kernels // 2)))
        total += kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()
    return total / kernels


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_mk_mmd_agrees_with_the_slow_one(offset):
    """Wherever the samples are: only their differences count."""
    x, y = samples(32, 5) + offset
    assert mk_mmd(x, y + 0.5).item() == pytest.approx(slow_mk_mmd(x.numpy(), (y + 0.5).numpy()), rel=1e-4)


def test_mk_mmd_grows_with_the_distance_and_is_zero_for_equal_samples():
    x, y = samples(64, 5)
    values = [mk_mmd(x, y + shift).item() for shift in (0.0, 0.5, 1.0, 2.0)]
    assert values == sorted(values) and values[0] > 0
    assert mk_mmd(x, x).item() == pytest.approx(0, abs=1e-6)


def test_mk_mmd_of_constant_samples_is_zero_with_finite_gradients():
    x = torch.zeros(1, 5, requires_grad=True)
    loss = mk_mmd(x, torch.zeros(1, 5))
    loss.backward()
    assert loss.item() == 0 and x.grad.isfinite().all()


def test_the_gradient_of_mk_mmd_holds_the_bandwidth():
    """Against central differences of the loss with a constant bandwidth, in double precision."""
    x, y = samples(4, 3)
    x.requires_grad_()
    mk_mmd(x, y).backward()
    both = torch.cat([x, y]).detach().double()
    bandwidth = (both[None] - both[:, None]).square().sum() / (8 * 7)

    def held(x):
        both = torch.cat([x, y.double()])
        distance = (both[None] - both[:, None]).square().sum(-1)
        kernel = sum(torch.exp(-distance / (bandwidth * 2.0**k)) for k in range(-5, 6)) / 11
        return kernel[:4, :4].mean() + kernel[4:, 4:].mean() - 2 * kernel[:4, 4:].mean()

    step = 1e-5 * torch.eye(12, dtype=torch.double).view(12, 4, 3)
    differences = torch.stack([held(x.detach() + d) - held(x.detach() - d) for d in step]) / 2e-5
    torch.testing.assert_close(x.grad, differences.view(4, 3).float(), rtol=1e-3, atol=1e-6)


def test_half_precision_does_not_round_the_loss_away():
    x = samples(64, 64)[0].bfloat16()
    y = x + 0.1
    assert mk_mmd(x, y).item() == pytest.approx(slow_mk_mmd(x.float().numpy(), y.float().numpy()), rel=1e-3)


def test_the_loss_stays_cheap_with_the_channels_of_the_last_stage():
    """Nothing that is kept for the gradient is larger than the samples or their distances."""
    kept = []
    x, y = samples(32, 2048).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda t: t):
        mk_mmd(x, y)
    assert max(kept) <= 64 * 2048


@pytest.mark.parametrize("modalities", [2, 3])
def test_the_loss_sums_over_pairs_of_pooled_embeddings(modalities):
    torch.manual_seed(0)
    align, parts = Align(6), torch.randn(modalities, 2, 6, 8, 12)
    first, _, second = align.embedding
    embedded = [F.conv2d(F.conv2d(x, first.weight, padding=1).relu(), second.weight) for x in parts]
    # 4×4 cells of 2×3 pixels; a sample is the mean of one.
    cells = [e.view(2, 6, 4, 2, 4, 3).mean((3, 5)) for e in embedded]
    arrays = [cell.flatten(2).transpose(1, 2).reshape(-1, 6).detach().numpy() for cell in cells]
    expected = sum(slow_mk_mmd(x, y) for x, y in combinations(arrays, 2))
    assert align(list(parts)).item() == pytest.approx(expected, rel=1e-3)


def test_descending_the_alignment_loss_aligns():
    torch.manual_seed(0)
    align, x = Align(8), torch.randn(4, 8, 8, 8)
    y = (torch.randn(4, 8, 8, 8) + 2).requires_grad_()
    before = align([x, y]).item()
    optimizer = torch.optim.Adam([y], lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        align([x, y]).backward()
        optimizer.step()
    assert align([x, y]).item() < before / 2


def test_one_image_of_one_pixel_gives_finite_gradients():
    """As after the eighth convolution of a U-Net at batch 1, with equal modalities and with different ones."""
    torch.manual_seed(0)
    align, x = Align(8), torch.randn(1, 8, 1, 1)
    for y in (x, x + 1, torch.zeros_like(x)):
        align.zero_grad()
        align([x, y]).backward()
        assert all(p.grad.isfinite().all() for p in align.parameters())
