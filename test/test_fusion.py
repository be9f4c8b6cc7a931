# SPDX-License-Identifier: Apache-2.0
"""Fusion blocks against slow, explicit formulas, and the order in which stages and blocks run."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cen_model.alignment import Align, mk_mmd
from cen_model.conditional import ConditionalNorm
from cen_model.config import FusionConfig
from cen_model.fusion import BLOCKS, Average, Concat, SelfAttention, StagedFusion
from cen_model.modal import PrivateNorm


def parts(modalities=2, channels=32, seed=0):
    torch.manual_seed(seed)
    return [torch.randn(2, channels, 5, 6) for _ in range(modalities)]


@pytest.mark.parametrize("modalities", [2, 3])
def test_concat_is_a_weighted_sum_over_modalities_and_channels(modalities):
    block, xs = Concat(modalities, 4), parts(modalities, 4)
    weight = block.reduce.weight[:, :, 0, 0].detach().unflatten(1, (modalities, 4))
    expected = sum(torch.einsum("oc,bchw->bohw", weight[:, m], x) for m, x in enumerate(xs))
    torch.testing.assert_close(block(xs), expected)


def test_average():
    xs = parts(3)
    torch.testing.assert_close(Average(3, 32)(xs), torch.stack(xs).mean(0))


def test_self_attention_gates_the_concatenation():
    block, xs = SelfAttention(2, 32).eval(), parts()
    x = torch.cat(xs, dim=1)
    squeeze, _, excite, _ = block.gate
    assert squeeze.out_channels == 2, "η = 16"
    gate = torch.sigmoid(
        F.conv2d(F.conv2d(x, squeeze.weight, squeeze.bias, padding=1).relu(), excite.weight, excite.bias, padding=1)
    )
    expected = F.conv2d(gate * x, block.fuse[0].weight, padding=1) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(block(xs), expected)


@pytest.mark.parametrize(
    ("block", "factor"),
    [(Concat(2, 256), 2), (SelfAttention(2, 256), 20.25), (Align(256), 10), (Average(2, 256), 0)],
)
def test_weights_are_those_that_table_2_counts(block, factor):
    weights = sum(p.numel() for p in block.parameters() if p.ndim == 4)
    assert weights == factor * 256**2
    assert sum(p.numel() for p in block.parameters()) - weights < 2000


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


def test_mk_mmd_agrees_with_the_slow_one():
    x, y = torch.randn(7, 5), torch.randn(7, 5) + 0.5
    assert mk_mmd(x, y).item() == pytest.approx(slow_mk_mmd(x.numpy(), y.numpy()), rel=1e-4)


def test_mk_mmd_grows_with_the_distance_and_is_zero_for_equal_samples():
    x, y = torch.randn(64, 5), torch.randn(64, 5)
    values = [mk_mmd(x, y + shift).item() for shift in (0.0, 0.5, 1.0, 2.0)]
    assert values == sorted(values)
    assert abs(mk_mmd(x, x).item()) < 1e-6
    assert mk_mmd(torch.zeros(4, 5), torch.zeros(4, 5)).isfinite()


def test_descending_the_alignment_loss_aligns():
    torch.manual_seed(0)
    align, x = Align(8), torch.randn(4, 8, 8, 8)
    y = (torch.randn(4, 8, 8, 8) + 2).requires_grad_()
    before = align([x, y]).item()
    optimiser = torch.optim.Adam([y], lr=0.1)
    for _ in range(20):
        optimiser.zero_grad()
        align([x, y]).backward()
        optimiser.step()
    assert align([x, y]).item() < before / 2


def norms_and_input(kind=nn.BatchNorm2d):
    torch.manual_seed(0)
    norms = [kind(32, affine=True, track_running_stats=True) for _ in range(3)]
    for norm in norms:
        norm.weight.data.normal_()
        norm.bias.data.normal_()
    return norms, torch.randn(6, 32, 4, 4) + 1


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", [nn.BatchNorm2d, nn.InstanceNorm2d])
def test_conditional_norms_start_as_private_norms(kind, training):
    norms, x = norms_and_input(kind)
    private = PrivateNorm(copy.deepcopy(norms)).train(training)
    torch.testing.assert_close(ConditionalNorm(norms).train(training)(x), private(x))


def test_conditional_norms_modulate_all_but_the_first():
    norms, x = norms_and_input()
    norms[1].weight.data.zero_()
    layer = ConditionalNorm(copy.deepcopy(norms))
    for perceptron in layer.perceptrons:
        perceptron[2].weight.data.normal_()
    a, b, c = x.chunk(3)
    first = norms[0](a)
    expected = [first]
    for part, norm, perceptron in zip((b, c), norms[1:], layer.perceptrons, strict=True):
        delta = perceptron(first.mean((2, 3))).view(2, 32, 2)
        whitened = F.batch_norm(part, None, None, training=True)
        scale, offset = norm.weight + delta[..., 0], norm.bias + delta[..., 1]
        expected.append(whitened * scale[:, :, None, None] + offset[:, :, None, None])
    torch.testing.assert_close(layer(x), torch.cat(expected))

    x = x.requires_grad_()
    layer(x)[2:].square().sum().backward()
    assert x.grad[:2].abs().max() > 0, "the other modalities' loss reaches the first one through the modulation"


class Stage(nn.Module):
    """Doubles, and keeps what it was given."""

    def forward(self, x):
        self.seen = x
        return 2 * x


def run(method, stages, streams, points, modalities=2):
    torch.manual_seed(0)
    fusion = StagedFusion(FusionConfig(method, stages, streams), modalities, (8, 8, 8, 8), points)
    layers = [Stage() for _ in range(4)]
    x = torch.randn(modalities * 3, 8, 4, 4)
    features, alignment = fusion(layers, x)
    return fusion, layers, x, features, alignment


@pytest.mark.parametrize("method", BLOCKS)
@pytest.mark.parametrize("modalities", [2, 3])
def test_kept_streams_fuse_into_the_first(method, modalities):
    fusion, _, x, features, alignment = run(method, "middle", "kept", (2,), modalities)
    others = [(2**i * x)[3:] for i in range(1, 5)]
    assert all(f.shape == x.shape for f in features) and alignment is None
    for feature, other in zip(features, others, strict=True):
        torch.testing.assert_close(feature[3:], other)
    torch.testing.assert_close(features[1], 4 * x)
    torch.testing.assert_close(features[2][:3], fusion.blocks["2"]((8 * x).chunk(modalities)))
    torch.testing.assert_close(features[3][:3], 2 * features[2][:3])


@pytest.mark.parametrize("method", BLOCKS)
def test_merged_streams_end_at_the_point(method):
    fusion, layers, x, features, _ = run(method, "early", "merged", (1,))
    assert [len(layer.seen) for layer in layers] == [6, 6, 3, 3]
    torch.testing.assert_close(features[0], (2 * x).unflatten(0, (2, 3)).mean(0))
    torch.testing.assert_close(features[1], fusion.blocks["1"]((4 * x).chunk(2)))
    torch.testing.assert_close(features[3], 4 * features[1])


def test_merging_at_all_stages_runs_both_encoders_to_the_end():
    fusion, layers, x, features, _ = run("concat", "all", "merged", range(4))
    assert [len(layer.seen) for layer in layers] == [6, 6, 6, 6]
    for i, feature in enumerate(features):
        torch.testing.assert_close(feature, fusion.blocks[str(i)]((2 ** (i + 1) * x).chunk(2)))


def test_alignment_changes_no_feature_and_costs_nothing_in_evaluation():
    fusion, layers, x, features, alignment = run("align", "all", "kept", range(4))
    for i, feature in enumerate(features):
        torch.testing.assert_close(feature, 2 ** (i + 1) * x)
    expected = sum(fusion.alignments[str(i)]((2 ** (i + 1) * x).chunk(2)) for i in range(4))
    torch.testing.assert_close(alignment, expected)
    assert fusion.eval()(layers, x)[1] is None
