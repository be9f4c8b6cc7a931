# SPDX-License-Identifier: Apache-2.0
"""The networks that a configured node holds, and which of them answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cen_ros[ros]'")
from cen_model import checkpoint
from cen_model.config import SegmentationConfig
from cen_model.deploy.backends.selection import BACKENDS
from cen_model.deploy.sample import sample_images
from cen_model.models import build
from cen_model.predictor import Deployment, Predictor
from cen_ros.segmentation.networks import load
from cen_ros.segmentation.parameters import PARAMETERS
from cen_ros.segmentation.settings import CHOICES, settings
from helpers.balanced_groups import GROUPS, write_groups

SMALL = SegmentationConfig(encoder="resnet18", encoder_width=0.25, decoder="light_refinenet", decoder_width=16)
RGB = replace(SMALL, modalities=("rgb",), exchange=None)
SIZE = (48, 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Weights for RGB and depth, for RGB, and for RGB with other classes."""
    folder = tmp_path_factory.mktemp("weights")
    for name, config in {"both": SMALL, "rgb": RGB, "other": replace(RGB, classes=("cat", "dog"))}.items():
        torch.manual_seed(0)
        checkpoint.save(folder / f"{name}.safetensors", build(config))
    return folder


def configured(folder, **values):
    defaults = {name: parameter.default for name, parameter in PARAMETERS.items()}
    fixed = {"weights": str(folder / "both.safetensors"), "backend": "none", "device": "cpu", "image_size": list(SIZE)}
    return settings({**defaults, **fixed, **values})


def predictor(folder, name, **options):
    return Predictor.load(folder / f"{name}.safetensors", device="cpu", deployment=Deployment(**options))


def test_each_answer_is_that_of_its_network(folder):
    rgb, depth = sample_images(SIZE)
    networks = load(configured(folder, confidence=True, depth_timeout=1.0, rgb_weights=str(folder / "rgb.safetensors")))
    assert networks.predict(rgb, depth, False).confidence is None
    seen = networks.predict(rgb, depth, True)
    expected = predictor(folder, "both", confidence=True).predict(rgb, depth)
    np.testing.assert_array_equal(seen.labels, expected.labels)
    np.testing.assert_array_equal(seen.confidence, expected.confidence)
    alone = predictor(folder, "rgb").predict(rgb, depth).labels
    assert (alone != expected.labels).any()
    np.testing.assert_array_equal(networks.predict(rgb, None, False).labels, alone)


def test_groups_hold_with_and_without_depth(folder, tmp_path):
    rgb, depth = sample_images(SIZE)
    weights = {"weights": str(folder / "both.safetensors"), "rgb_weights": str(folder / "rgb.safetensors")}
    groups = str(write_groups(tmp_path))
    networks = load(configured(folder, **weights, depth_timeout=1.0, label_groups=groups))
    assert networks.classes == tuple(GROUPS)
    for name, given in (("both", depth), ("rgb", None)):
        expected = Predictor.load(folder / f"{name}.safetensors", device="cpu", label_groups=groups)
        np.testing.assert_array_equal(networks.predict(rgb, given, False).labels, expected.predict(rgb, depth).labels)


def test_without_weights_for_rgb_its_branch_answers(folder):
    rgb, depth = sample_images(SIZE)
    networks = load(configured(folder, depth_timeout=1.0))
    expected = predictor(folder, "both", branch="rgb").predict(rgb, np.zeros_like(depth)).labels
    np.testing.assert_array_equal(networks.predict(rgb, None, False).labels, expected)


def test_weights_for_rgb_answer_with_and_without_depth(folder):
    rgb, depth = sample_images(SIZE)
    networks = load(configured(folder, weights=str(folder / "rgb.safetensors")))
    assert not networks.needs_depth
    expected = predictor(folder, "rgb").predict(rgb, depth).labels
    for given in (depth, None):
        np.testing.assert_array_equal(networks.predict(rgb, given, False).labels, expected)


@pytest.mark.parametrize(
    ("name", "complaint"), [("other", "expected the classes of .*; .* has cat, dog"), ("both", "takes rgb and depth")]
)
def test_weights_that_do_not_fit_are_refused(folder, name, complaint):
    values = {"depth_timeout": 1.0, "rgb_weights": str(folder / f"{name}.safetensors")}
    with pytest.raises(ValueError, match=f"parameter rgb_weights: {complaint}|parameter rgb_weights: .*{complaint}"):
        load(configured(folder, **values))


def test_the_backends_that_may_be_named_are_those_there_are():
    assert set(CHOICES["backend"]) == {"auto", "none", *BACKENDS}
