# SPDX-License-Identifier: Apache-2.0
"""The paper's published implementation and ours: same weights, same numbers (reference outputs in shared/golden)."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import cen_model
from cen_model.checkpoint import import_published
from cen_model.exchange import PrivateNorm
from cen_model.published import our_name

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the reference outputs are missing: {GOLDEN}")


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "refinenet50.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The published weights, imported as a user's downloaded file would be."""
    spec = importlib.util.spec_from_file_location("fill", GOLDEN / "fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    shapes = json.loads((GOLDEN / "refinenet50.keys.json").read_text())
    weights = {f"module.{name}": torch.from_numpy(array) for name, array in fill.fill(shapes).items()}
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
    """Batch-norm statistics frozen, no dropout; the published code adds λ = 2e-4 once per output."""
    model = copy.deepcopy(model).train()
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
    _assert_gradients(model, golden)


def _assert_gradients(model, golden):
    parameters = dict(model.named_parameters())
    names = [key.removeprefix("grad_norm/") for key in golden if key.startswith("grad_norm/")]
    assert len(names) >= 10
    for name in names:
        gradient = parameters[our_name(name)].grad
        norm, head = golden[f"grad_norm/{name}"], golden[f"grad_head/{name}"]
        torch.testing.assert_close(gradient.norm().double(), norm, rtol=1e-3, atol=0)
        assert (gradient.flatten()[: len(head)] - head).abs().max() <= 1e-3 * gradient.abs().max(), name
