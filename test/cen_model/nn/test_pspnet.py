# SPDX-License-Identifier: Apache-2.0
"""PSPNet's pyramid against slow NumPy pooling and a count by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cen_model.nn.pspnet import PSPNet, PyramidPooling


def slow_pool(x, bins):
    """Means over the bins of an adaptive pooling: from ⌊i·n/b⌋ to ⌈(i+1)·n/b⌉."""
    height, width = x.shape[-2:]
    out = np.zeros((*x.shape[:2], bins, bins))
    for i in range(bins):
        for j in range(bins):
            rows = slice(i * height // bins, -(-(i + 1) * height // bins))
            columns = slice(j * width // bins, -(-(j + 1) * width // bins))
            out[:, :, i, j] = x[:, :, rows, columns].mean((2, 3))
    return out


@pytest.mark.parametrize("size", [(12, 18), (13, 17)])
def test_the_pyramid_appends_the_means_over_its_bins(size):
    torch.manual_seed(0)
    pyramid, x = PyramidPooling(8).eval(), torch.randn(2, 8, *size)
    for branch in pyramid.branches:
        nn.init.dirac_(branch[0].weight)  # the branch shows its first two channels
        branch[1].eps = 0.0
    with torch.no_grad():
        feature, *pooled = pyramid(x).split([8, 2, 2, 2, 2], dim=1)
    assert torch.equal(feature, x)
    for bins, actual in zip((1, 2, 3, 6), pooled, strict=True):
        means = torch.from_numpy(slow_pool(x.numpy(), bins)[:, :2]).float().relu()
        torch.testing.assert_close(actual, F.interpolate(means, size, mode="bilinear", align_corners=True))


def test_parameters_by_hand():
    """On ResNet-101's channels, for 21 classes: pyramid, 3×3 convolution to 512, classifier; auxiliary head."""
    with torch.device("meta"):
        decoder = PSPNet((256, 512, 1024, 2048), 21)
    pyramid = 4 * (2048 * 512 + 2 * 512)
    head = 9 * 4096 * 512 + 2 * 512 + 512 * 21 + 21
    auxiliary = 9 * 1024 * 256 + 2 * 256 + 256 * 21 + 21
    assert sum(p.numel() for p in decoder.parameters()) == pyramid + head + auxiliary


def test_the_auxiliary_loss_reaches_the_last_feature_but_one_alone():
    decoder = PSPNet((4, 8, 16, 32), 5, width=8)
    features = [torch.randn(2, c, 7, 9, requires_grad=True) for c in (4, 8, 16, 32)]
    logits = decoder.auxiliary(features)
    assert logits.shape == decoder(features).shape == (2, 5, 7, 9)
    logits.square().mean().backward()
    assert [f.grad is not None for f in features] == [False, False, True, False]


def test_dropout_comes_before_both_classifiers_while_training():
    """With every feature dropped, nothing but the classifiers' biases is left."""
    decoder = PSPNet((4, 8, 16, 32), 5, width=8, dropout=1.0)
    features = [torch.randn(2, c, 7, 9) for c in (4, 8, 16, 32)]
    heads = ((decoder, decoder.classifier), (decoder.auxiliary, decoder.auxiliary_head[-1]))
    for head, classifier in heads:
        bias = classifier.bias.view(1, 5, 1, 1).expand(2, 5, 7, 9)
        decoder.train()
        assert torch.equal(head(features), bias)
        decoder.eval()
        assert not torch.equal(head(features), bias)
