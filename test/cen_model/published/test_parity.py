# SPDX-License-Identifier: Apache-2.0
"""The paper's published implementation and ours: same weights, same numbers (reference outputs in shared/golden)."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

import cen_model
from cen_model.checkpoint import import_published
from cen_model.cli.cen import main
from cen_model.losses.translation import generator_losses, judge
from cen_model.nn.discriminator import Discriminator
from cen_model.nn.modal import PrivateNorm
from cen_model.published.segmentation_checkpoint import our_name
from cen_model.published.translation_checkpoint import our_name as translation_name
from helpers.golden import GOLDEN, reference

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the reference outputs are missing: {GOLDEN}")


@pytest.fixture(scope="module")
def golden():
    return reference("refinenet50")[0]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The published weights, imported as a user's downloaded file would be."""
    weights = {f"module.{name}": tensor for name, tensor in reference("refinenet50")[1]["segmenter"].items()}
    folder = tmp_path_factory.mktemp("published")
    torch.save({"segmenter": weights, "epoch_start": 7}, folder / "in.pth.tar")
    import_published(folder / "in.pth.tar", folder / "out.safetensors")
    return cen_model.load(folder / "out.safetensors")


def test_evaluation_outputs(model, golden):
    with torch.no_grad():
        outputs = model({"rgb": golden["rgb"], "depth": golden["depth"]})
    for name in ("rgb", "depth", "ensemble"):
        expected = golden[f"out_{name}"]
        assert (outputs[name] - expected).abs().max() <= 1e-4 * expected.abs().max()
    torch.testing.assert_close(model.ensemble.alpha.softmax(0), golden["alpha"])


def test_one_training_step(model, golden):
    """Batch-norm statistics frozen, no dropout; the published code adds λ = 2e-4 once per output.

    In float64: what is left is the rounding of the reference alone, and the same on every machine."""
    model = copy.deepcopy(model).double().train()
    golden = {key: value.double() if value.is_floating_point() else value for key, value in golden.items()}
    model.decoder.dropout.p = 0.0
    for module in model.modules():
        if isinstance(module, PrivateNorm):
            module.eval()
    outputs = model({"rgb": golden["rgb"], "depth": golden["depth"]})
    target = golden["target"].long()
    losses = [
        F.cross_entropy(F.interpolate(o, target.shape[1:], mode="bilinear"), target, ignore_index=255)
        for o in outputs.values()
    ]
    loss = sum(losses) + 3 * 2e-4 * model.sparsity()
    loss.backward()
    torch.testing.assert_close(torch.stack(losses).double(), golden["ce"], rtol=1e-3, atol=0)
    torch.testing.assert_close(model.sparsity().double(), golden["l1"], rtol=1e-3, atol=0)
    torch.testing.assert_close(loss.double(), golden["loss"], rtol=1e-3, atol=0)
    assert_gradients(model, golden, our_name)


def assert_gradients(model, golden, our_name):
    parameters = dict(model.named_parameters())
    names = [key.removeprefix("grad_norm/") for key in golden if key.startswith("grad_norm/")]
    assert len(names) >= 5
    for name in names:
        gradient = parameters[our_name(name)].grad
        norm, head = golden[f"grad_norm/{name}"], golden[f"grad_head/{name}"]
        torch.testing.assert_close(gradient.norm().double(), norm, rtol=1e-3, atol=0)
        assert (gradient.flatten()[: len(head)] - head).abs().max() <= 1e-3 * gradient.abs().max(), name


@pytest.fixture(scope="module")
def unet_golden():
    return reference("unet16")


@pytest.fixture(scope="module")
def generator(tmp_path_factory, unet_golden):
    """The published generator, imported by the command that a user would type."""
    folder = tmp_path_factory.mktemp("published_unet")
    torch.save(unet_golden[1]["generator"], folder / "in.pkl")
    files = [str(folder / "in.pkl"), str(folder / "out.safetensors")]
    assert not main(["import", *files, "--modalities", "shade", "texture", "--target", "rgb"])
    return cen_model.load(folder / "out.safetensors")


@pytest.fixture(scope="module")
def discriminator(unet_golden):
    weights = {}
    for name, tensor in unet_golden[1]["discriminator"].items():
        block, kind = int(name[len("conv")]), name.rpartition(".")[2]
        if "insnorm" not in name:
            weights[f"classifier.{kind}" if block == 5 else f"convs.{block - 1}.{kind}"] = tensor
        elif 2 <= block <= 4:  # the others exist in the published code, but nothing passes through them
            weights[f"norms.{block - 2}.{kind}"] = tensor
    network = Discriminator(3, 3, filters=16)
    network.load_state_dict(weights)
    return network


def test_translation_outputs(generator, unet_golden):
    golden, _ = unet_golden
    with torch.no_grad():
        outputs = generator({"shade": golden["x0"], "texture": golden["x1"]})
    for name, key in {"shade": "out0", "texture": "out1", "ensemble": "out_ensemble"}.items():
        assert (outputs[name] - golden[key]).abs().max() <= 1e-4 * golden[key].abs().max()
    torch.testing.assert_close(generator.ensemble.alpha.softmax(0), golden["alpha"])


def test_translation_losses_and_gradients(generator, discriminator, unet_golden):
    golden, _ = unet_golden
    inputs = {"shade": golden["x0"], "texture": golden["x1"]}
    outputs = generator(inputs)
    fake, real = judge(discriminator, inputs, outputs), judge(discriminator, inputs, golden["target"])
    for logits, key in ((fake["shade"], "d_fake0"), (real["shade"], "d_real0")):
        assert (logits.sigmoid() - golden[key]).abs().max() <= 1e-4 * golden[key].abs().max()
    terms = generator_losses(fake, outputs, golden["target"]) | {"sparsity": 1e-3 * generator.sparsity()}
    for name, term in terms.items():
        torch.testing.assert_close(term.double(), golden[name], rtol=1e-3, atol=0)
    loss = sum(terms.values())
    torch.testing.assert_close(loss.double(), golden["loss"], rtol=1e-3, atol=0)
    loss.backward()
    assert_gradients(generator, golden, translation_name)
