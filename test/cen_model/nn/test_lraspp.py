# SPDX-License-Identifier: Apache-2.0
"""Lite R-ASPP: its size by hand, its answer by a slow sum, and which pixels a logit knows of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cen_model.nn.lraspp import LiteRASPP

CHANNELS = (24, 40, 112, 320)
SIZES = ((18, 25), (9, 13), (5, 7), (3, 4))
"""Of an image of 70×100, which no stride divides."""


@pytest.fixture
def features() -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, c, *size) for c, size in zip(CHANNELS, SIZES, strict=True)]


def test_parameters_by_hand() -> None:
    """Two stages to 128 channels with a norm, the gate, the classifier and two skips with their biases."""
    expected = (320 + 112) * 128 + 2 * 2 * 128 + 320 * 128 + (128 * 40 + 40) + (24 + 40) * 40 + 2 * 40
    assert sum(p.numel() for p in LiteRASPP(CHANNELS, 40).parameters()) == expected


def sample(image: np.ndarray, y: float, x: float) -> np.ndarray:
    """Bilinear value (C,) of an image (C, h, w) at a place in pixels, clamped at the border."""
    _, h, w = image.shape
    y, x = min(max(y, 0.0), h - 1.0), min(max(x, 0.0), w - 1.0)
    top, left = int(y), int(x)
    bottom, right, fy, fx = min(top + 1, h - 1), min(left + 1, w - 1), y - top, x - left
    upper = (1 - fx) * image[:, top, left] + fx * image[:, top, right]
    return (1 - fy) * upper + fy * ((1 - fx) * image[:, bottom, left] + fx * image[:, bottom, right])


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    (h, w), (height, width) = image.shape[1:], size
    places = [
        [((i + 0.5) * h / height - 0.5, (j + 0.5) * w / width - 0.5) for j in range(width)] for i in range(height)
    ]
    return np.array([[sample(image, *place) for place in row] for row in places]).transpose(2, 0, 1)


def by_hand(decoder: LiteRASPP, stages: list[np.ndarray]) -> np.ndarray:
    """Logits (K, h, w) of one image's features, in evaluation mode, pixel by pixel."""
    state = {name: tensor.double().numpy() for name, tensor in decoder.state_dict().items()}

    def conv(name: str, image: np.ndarray) -> np.ndarray:
        bias = state.get(f"{name}.bias", np.zeros(len(state[f"{name}.weight"])))
        return np.einsum("oi,ihw->ohw", state[f"{name}.weight"][:, :, 0, 0], image) + bias[:, None, None]

    def conv_norm_relu(name: str, image: np.ndarray) -> np.ndarray:
        mean, variance, weight, bias = (
            state[f"{name}.1.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return np.maximum((conv(f"{name}.0", image) - mean) / np.sqrt(variance + 1e-5) * weight + bias, 0)

    finest, fine, coarse, coarsest = stages
    gate = 1 / (1 + np.exp(-conv("gate", coarsest.mean((1, 2), keepdims=True))))
    seen = resize(conv_norm_relu("coarsest", coarsest) * gate, coarse.shape[1:]) + conv_norm_relu("coarse", coarse)
    logits = resize(conv("classifier", seen), fine.shape[1:]) + conv("skips.1", fine)
    return resize(logits, finest.shape[1:]) + conv("skips.0", finest)


def random_decoder() -> LiteRASPP:
    """With skips that are no longer 0."""
    torch.manual_seed(1)
    decoder = LiteRASPP(CHANNELS, 5, width=8)
    for skip in decoder.skips:
        nn.init.normal_(skip.weight)
    return decoder


def test_it_starts_with_the_coarser_features_alone(features: list[Tensor]) -> None:
    decoder = LiteRASPP(CHANNELS, 5, width=8).eval()
    larger = [100 * features[0], 100 * features[1], *features[2:]]
    assert torch.equal(decoder(larger), decoder(features))


def test_logits_equal_a_slow_sum(features: list[Tensor]) -> None:
    decoder = random_decoder()
    decoder.train()(features)  # statistics that are not 0 and 1
    logits = decoder.eval()(features)
    assert logits.shape == (2, 5, 18, 25)
    for index in range(2):
        expected = by_hand(decoder, [stage[index].double().numpy() for stage in features])
        np.testing.assert_allclose(logits[index].detach().numpy(), expected, rtol=1e-4, atol=1e-4)


def test_each_logit_knows_its_own_pixel_and_the_whole_image(features: list[Tensor]) -> None:
    stages = [stage.requires_grad_() for stage in features]
    random_decoder().eval()(stages)[0, :, 9, 12].sum().backward()
    finest, *_, coarsest = (stage.grad[0].abs().sum(0) > 0 for stage in stages)
    assert (finest.sum(), coarsest.all()) == (1, True)
    assert all(not stage.grad[1].any() for stage in stages), "images of a batch do not meet"
