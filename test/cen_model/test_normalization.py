# SPDX-License-Identifier: Apache-2.0
"""A network's own normalization: one mechanism for training, evaluation and deployment, kept in the checkpoint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cen_model.config import NormalizationConfig, SegmentationConfig, from_dict
from cen_model.deploy.frame import Frame, FrameConfig
from cen_model.evaluation.inference_modes import InferenceConfig, predict
from cen_model.losses.segmentation import inputs
from cen_model.modalities import normalize
from cen_model.models import build

H, W = 64, 96
RGB = NormalizationConfig(mean=(0.1, 0.2, 0.3), std=(0.5,), scale=255, order="bgr")
DEPTH = NormalizationConfig(mean=(0.2,), std=(0.4,), scale=10)
SMALL = SegmentationConfig(
    classes=("a", "b", "c"),
    encoder="resnet18",
    encoder_width=0.125,
    decoder="light_refinenet",
    decoder_width=8,
    normalization={"rgb": RGB, "depth": DEPTH},
)


@pytest.fixture(scope="module")
def raw():
    """RGB (3, H, W), and depth in meters (H, W) with a hole."""
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.5, 8, (H, W)).astype(np.float32)
    depth[:9, :9] = 0
    return rng.integers(0, 256, (3, H, W), np.uint8), depth


def by_hand(rgb, depth):
    """What `RGB` and `DEPTH` say, in NumPy."""
    mean = np.array([0.1, 0.2, 0.3])[:, None, None]
    return {
        "rgb": torch.from_numpy((rgb[::-1] / 255 - mean) / 0.5).float()[None],
        "depth": torch.from_numpy((depth / 10 - 0.2) / 0.4).float()[None, None],
    }


def test_all_who_run_a_network_normalize_by_its_configuration(raw):
    torch.manual_seed(0)
    model = build(SMALL).eval()
    rgb, depth = torch.from_numpy(raw[0]), torch.from_numpy(raw[1])
    batch = {"rgb": rgb[None], "depth": depth[None, None]}
    frame = Frame(model, FrameConfig((H, W), (H, W)))
    with torch.no_grad():
        expected = model(by_hand(*raw))["ensemble"]
        trained = model(inputs(batch, model.config, torch.device("cpu")))["ensemble"]
        evaluated = predict(model, batch, tuple(expected.shape[-2:]), InferenceConfig())["ensemble"]
        deployed = frame.logits(rgb.permute(1, 2, 0), depth, torch.ones(1))
    for actual in (trained, evaluated, deployed):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_without_a_normalization_of_its_own_a_network_is_as_it_was(raw):
    """A checkpoint written before there was such a key has none of it."""
    values = {key: value for key, value in SMALL.to_dict().items() if key != "normalization"}
    assert from_dict(values) == replace(SMALL, normalization=None) == build(replace(SMALL, normalization=None)).config
    rgb = torch.from_numpy(raw[0])
    assert torch.equal(normalize("rgb", rgb, None), normalize("rgb", rgb, {"depth": DEPTH}))


def test_a_scale_leaves_holes_at_zero(raw):
    scaled = normalize("depth", torch.from_numpy(raw[1])[None], {"depth": NormalizationConfig(scale=5)})
    np.testing.assert_allclose(scaled[0].numpy(), raw[1] / 5, rtol=1e-6)
    assert (scaled[0, :9, :9] == 0).all()


@pytest.mark.parametrize(
    ("normalization", "message"),
    [
        ({"thermal": DEPTH}, r"normalization: 'thermal' is none of the network's modalities \(rgb, depth\)"),
        ({"rgb": NormalizationConfig(std=(1, 1))}, r"normalization\.rgb\.std: expected 1 or 3 values, got 2"),
        ({"depth": NormalizationConfig(order="bgr")}, r"normalization\.depth\.order: 'bgr' is for three channels"),
    ],
)
def test_a_normalization_that_does_not_fit_the_modalities_is_refused(normalization, message):
    with pytest.raises(ValueError, match=message):
        build(replace(SMALL, normalization=normalization))


def test_unknown_keys_and_impossible_numbers_are_refused():
    with pytest.raises(ValueError, match="did you mean mean"):
        from_dict({**SMALL.to_dict(), "normalization": {"rgb": {"meen": 1}}})
    with pytest.raises(ValueError, match=r"normalization\.std: expected more than 0"):
        NormalizationConfig(std=(0.0,))
