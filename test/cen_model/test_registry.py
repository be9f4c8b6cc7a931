# SPDX-License-Identifier: Apache-2.0
"""Every network of the registry: what comes out, what is trained, what is kept in a checkpoint.

The networks are narrowed, so that all of them run in a few minutes; their sizes are held in full in test_models.py.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cen_model import checkpoint
from cen_model.config import SegmentationConfig, from_dict
from cen_model.modalities import IN_METERS
from cen_model.models import build
from cen_model.nn.exchange import exchange_norms
from cen_model.predictor import Predictor
from cen_model.registry import REGISTRY
from cen_model.translator import Translator

B, H, W = 2, 64, 96


def narrow(config):
    if not isinstance(config, SegmentationConfig):
        return replace(config, filters=4)
    # Grouped convolutions and squeeze-and-excitation keep their widths; they are small as they are.
    width = 0.125 if config.encoder.startswith("resnet") else 1.0
    return replace(config, encoder_width=width, decoder_width=16, classes=("a", "b", "c"))


def images(model):
    size = (H, W) if model.config.task == "segmentation" else (256, 256)
    torch.manual_seed(1)
    return {name: torch.randn(B, model.in_channels, *size) for name in model.config.modalities}


@pytest.fixture(scope="module", params=REGISTRY)
def model(request):
    torch.manual_seed(0)
    return build(narrow(REGISTRY[request.param]))


def test_outputs_and_gradients(model):
    """Shapes of everything that comes out; the sum of all losses reaches every parameter that takes part."""
    outputs = model.train()(images(model))
    alignment = outputs.pop("alignment", torch.zeros(()))
    auxiliary = [name for name in outputs if name.startswith("auxiliary/")]
    streams = model.config.streams or ("ensemble",)
    assert set(outputs) == {*streams, "ensemble", *auxiliary}
    translation = model.config.task == "translation"
    stride = 1 if translation else 8 if auxiliary else 4
    size = (256, 256) if translation else (H // stride, W // stride)
    assert all(output.shape == (B, 3, *size) for output in outputs.values())
    assert len(auxiliary) == (len(streams) if auxiliary else 0)

    loss = sum(output.square().mean() for output in outputs.values()) + alignment + model.sparsity()
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert not without or all(never_used(name, model) for name in without), without


TRANSLATORS = [name for name, config in REGISTRY.items() if not isinstance(config, SegmentationConfig)]


@pytest.mark.parametrize("name", TRANSLATORS)
def test_translation_trains_on_one_image_at_a_time(name):
    """The recipe's batch (§ 4.2), of which the 8th convolution leaves one pixel: too few values for BatchNorm."""
    torch.manual_seed(0)
    model = build(narrow(REGISTRY[name])).train()
    outputs = model({modality: image[:1] for modality, image in images(model).items()})
    (sum(output.square().mean() for output in outputs.values()) + model.sparsity()).backward()
    assert all(output.isfinite().all() for output in outputs.values())
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)


def never_used(name, model):
    """Weights of one modality alone, and the two norms that the published U-Net has but does not use."""
    alone = len(model.config.modalities) == 1 and name == "ensemble.alpha"
    unused = getattr(model.config, "normalized", "") == "inner" and name.startswith(
        ("encoder.stages.0", "encoder.stages.7")
    )
    return alone or unused


def test_a_checkpoint_gives_the_same_network(model, tmp_path):
    assert from_dict(model.config.to_dict()) == model.config
    checkpoint.save(tmp_path / "network.safetensors", model)
    loaded = checkpoint.load(tmp_path / "network.safetensors")
    inputs = images(model)
    with torch.no_grad():
        expected, actual = model.eval()(inputs), loaded(inputs)
    assert list(actual) == list(expected) == [*model.config.streams, "ensemble"]
    assert all(torch.equal(actual[name], expected[name]) for name in expected)


def test_arrays_in_and_out(model):
    """The predictor, or the translator, takes every network as it is."""
    rng = np.random.default_rng(0)
    model.eval()
    if model.config.task == "translation":
        types = {name: np.uint16 if name in IN_METERS else np.uint8 for name in model.config.modalities}
        arrays = {name: rng.integers(0, 256, (100, 120), kind) for name, kind in types.items()}
        assert Translator(model, "cpu").translate(arrays).image.shape == (100, 120, 3)
        return
    rgb, depth = rng.integers(0, 256, (H, W, 3), np.uint8), rng.integers(500, 5000, (H, W), np.uint16)
    labels = Predictor(model, device="cpu").predict(rgb, depth).labels
    assert labels.shape == (H, W) and labels.dtype == np.uint8 and labels.max() < 3


# Tables 1 and 7 and § 4.1: whether the penalty acts on none, half or all of γ, whether depth can change what RGB's
# stream answers, and how often the convolutions are there.
ABLATIONS = {
    "private_convs": (0, False, 2),
    "shared_norms": (0, False, 1),
    "private_norms": (0, False, 1),
    "private_convs-l1_half": (0.5, False, 2),
    "private_convs-l1_half-exchange": (0.5, True, 2),
    "l1_half": (0.5, False, 1),
    "cen": (0.5, True, 1),
    "private_convs-l1_all": (1, False, 2),
    "private_convs-l1_all-exchange": (1, True, 2),
    "l1_all": (1, False, 1),
    "l1_all-exchange": (1, True, 1),
    "fixed": (0, True, 1),
    "fixed-downsampling": (0, True, 1),
    "random": (0, True, 1),
    "discard": (0.5, False, 1),
    "sum": (0.5, True, 1),
    "soft_gate": (0.5, True, 1),
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_ablations_do_what_their_names_say(name):
    penalized, coupled, copies = ABLATIONS[name]
    torch.manual_seed(0)
    model = build(narrow(REGISTRY[name])).eval()
    gammas = [norm.weight for layer in exchange_norms(model) for norm in layer.norms]
    for gamma in gammas:  # every other one under θ
        gamma.data = torch.where(torch.arange(len(gamma)) % 2 == 0, 0.01, 1.0)
    if penalized:
        total = sum(gamma.sum().item() for gamma in gammas)
        assert model.sparsity().item() == pytest.approx(penalized * total, rel=0.05)
    else:
        assert model.sparsity() == 0

    inputs = images(model)
    with torch.no_grad():
        before = model(inputs)["rgb"]
        after = model({**inputs, "depth": torch.randn_like(inputs["depth"])})["rgb"]
    assert torch.equal(before, after) != coupled
    assert sum(parameter.ndim == 4 for parameter in model.parameters()) == copies * convolutions_of_one_network()


def convolutions_of_one_network():
    return sum(isinstance(m, torch.nn.Conv2d) for m in build(narrow(REGISTRY["rgb"])).modules())
