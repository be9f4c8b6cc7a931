# SPDX-License-Identifier: Apache-2.0
"""Fusion blocks against slow, explicit formulas, and the order in which stages and blocks run."""

from __future__ import annotations

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cen_model.config import FusionConfig
from cen_model.nn.alignment import Align
from cen_model.nn.fusion import BLOCKS, Average, Concat, SelfAttention, StagedFusion


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


@pytest.mark.parametrize("modalities", [2, 3])
def test_self_attention_gates_the_concatenation(modalities):
    block, xs = SelfAttention(modalities, 32).eval(), parts(modalities)
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


def test_kept_streams_that_fuse_at_all_stages_feed_each_fusion_to_the_next():
    fusion, _, x, features, _ = run("attention", "all", "kept", range(4))
    for i, feature in enumerate(features):
        given = 2 * features[i - 1] if i else 2 * x
        torch.testing.assert_close(feature[:3], fusion.blocks[str(i)](given.chunk(2)))
        torch.testing.assert_close(feature[3:], 2 ** (i + 1) * x[3:])


@pytest.mark.parametrize("method", BLOCKS)
@pytest.mark.parametrize("modalities", [2, 3])
def test_merged_streams_end_at_the_point(method, modalities):
    fusion, layers, x, features, alignment = run(method, "early", "merged", (1,), modalities)
    assert [len(layer.seen) for layer in layers] == [3 * modalities, 3 * modalities, 3, 3] and alignment is None
    torch.testing.assert_close(features[0], (2 * x).unflatten(0, (modalities, 3)).mean(0))
    torch.testing.assert_close(features[1], fusion.blocks["1"]((4 * x).chunk(modalities)))
    torch.testing.assert_close(features[3], 4 * features[1])


def test_merging_at_all_stages_runs_both_encoders_to_the_end():
    fusion, layers, x, features, _ = run("concat", "all", "merged", range(4))
    assert [len(layer.seen) for layer in layers] == [6, 6, 6, 6]
    for i, feature in enumerate(features):
        torch.testing.assert_close(feature, fusion.blocks[str(i)]((2 ** (i + 1) * x).chunk(2)))


@pytest.mark.parametrize("modalities", [2, 3])
def test_alignment_changes_no_feature_and_costs_nothing_in_evaluation(modalities):
    fusion, layers, x, features, alignment = run("align", "all", "kept", range(4), modalities)
    for i, feature in enumerate(features):
        torch.testing.assert_close(feature, 2 ** (i + 1) * x)
    expected = sum(fusion.alignments[str(i)]((2 ** (i + 1) * x).chunk(modalities)) for i in range(4))
    torch.testing.assert_close(alignment, expected)
    assert fusion.eval()(layers, x)[1] is None


@pytest.mark.parametrize(("method", "streams"), [*product(BLOCKS, ("kept", "merged")), ("align", "kept")])
def test_gradients_reach_every_modality_and_every_weight(method, streams):
    fusion, layers, x, _, _ = run(method, "all", streams, range(4), modalities=3)
    features, alignment = fusion(layers, x.requires_grad_())
    loss = alignment if method == "align" else sum((feature * torch.randn_like(feature)).sum() for feature in features)
    loss.backward()
    assert all(part.isfinite().all() and part.any() for part in x.grad.chunk(3))
    for name, parameter in fusion.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.any(), name
