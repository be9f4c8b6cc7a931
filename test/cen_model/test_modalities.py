# SPDX-License-Identifier: Apache-2.0
"""Modalities as inputs of segmentation and as images of translation, against the published code's formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cen_model.data.derived import DERIVATIONS, derive
from cen_model.data.formats.taskonomy import DOMAINS
from cen_model.modalities import MODALITIES, from_image, modality, normalize, to_image


@pytest.mark.parametrize("name", [name for name in MODALITIES if name not in ("depth", "zbuffer")])
def test_bytes_come_back_from_an_image(name):
    raw = torch.arange(256, dtype=torch.uint8).repeat(modality(name).channels).view(1, -1, 16, 16)
    image = to_image(name, raw)
    assert image.dtype == torch.float32 and image.min() == -1 and image.max() == 1
    assert torch.equal(from_image(name, image), raw)
    assert from_image(name, torch.tensor([-1.5, 1.5])).tolist() == [0, 255]


@pytest.mark.parametrize("name", ["depth", "zbuffer"])
def test_depth_is_encoded_as_taskonomys_is(name):
    """The published code takes log(1 + d) of 16-bit depth, 512 units a meter, of at most 11.1."""
    units = np.array([1, 100, 512, 5120, 65534])
    image = to_image(name, torch.tensor(units / 512).float().view(1, 1, 5))
    expected = np.log(1 + units) / 11.1 * 2 - 1
    np.testing.assert_allclose(image.numpy().ravel(), expected, atol=1e-6)
    np.testing.assert_allclose(from_image(name, image).numpy().ravel(), units / 512, rtol=1e-4)


def test_depth_beyond_the_scale_and_holes_stay_in_the_image():
    depth = torch.tensor([0, -1, float("nan"), float("inf"), 400.0])
    image = to_image("depth", depth)
    assert image.tolist() == [-1, -1, -1, -1, 1]
    assert from_image("depth", image)[:4].tolist() == [0, 0, 0, 0]
    assert from_image("depth", image)[4] == pytest.approx((np.exp(11.1) - 1) / 512, rel=1e-4)
    assert from_image("depth", torch.tensor([-3.0])).item() == 0


def test_segmentation_takes_depth_in_meters_and_color_by_imagenet():
    assert normalize("depth", torch.tensor([[[1.5, float("nan")]]])).tolist() == [[[1.5, 0]]]
    rgb = torch.tensor([0, 128, 255], dtype=torch.uint8).view(3, 1, 1)
    expected = (np.array([0, 128, 255]) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(normalize("rgb", rgb).numpy().ravel(), expected, atol=1e-5)


def test_whatever_is_read_or_derived_is_a_modality_of_as_many_channels():
    assert {name for name, _ in DOMAINS.values()} <= MODALITIES.keys()
    frame = {"rgb": np.zeros((12, 16, 3), np.uint8), "depth": np.full((12, 16), 2.0)}
    for name in DERIVATIONS:
        image = derive(name, frame)
        assert (image.shape[2] if image.ndim == 3 else 1) == modality(name).channels


def test_unknown_modalities_are_named():
    with pytest.raises(ValueError, match="depht"):
        to_image("depht", torch.zeros(1))
