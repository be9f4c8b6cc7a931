# SPDX-License-Identifier: Apache-2.0
"""Encoders with pretrained weights: from files, of any format and age, and torchvision's own."""

from __future__ import annotations

import re
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import ResNet18_Weights, densenet121, get_model, mnasnet0_5
from torchvision.models.feature_extraction import create_feature_extractor

from cen_model.nn.encoders import build_encoder


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize(("name", "node"), [("resnet18", "layer1"), ("mobilenet_v3_small", "features.1")])
def test_pretrained_weights_from_a_file_survive_another_number_of_channels(tmp_path, name, node, channels, suffix):
    """A one-channel stem answers as the original does to that channel repeated; six channels, to RGB repeated."""
    original = get_model(name).eval()
    path = tmp_path / f"weights{suffix}"
    (torch.save if suffix == ".pth" else save_file)(original.state_dict(), path)
    encoder = build_encoder(name, channels, weights=str(path)).eval()
    image = torch.randn(1, min(channels, 3), 64, 64)
    with torch.no_grad():
        expected = create_feature_extractor(original, [node])(image.expand(1, 3, 64, 64))[node]
        actual = encoder(image.repeat(1, max(1, channels // 3), 1, 1))[0]
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_weights_with_the_names_of_densenets_published_files(tmp_path):
    """They are norm.1 and conv.2, where the modules are norm1 and conv2."""
    state = densenet121().state_dict()
    published = {re.sub(r"(layer\d+\.\w+)([12])\.", r"\1.\2.", name): tensor for name, tensor in state.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in published
    torch.save(published, tmp_path / "weights.pth")
    encoder = build_encoder("densenet121", weights=str(tmp_path / "weights.pth"))
    expected = state["features.denseblock1.denselayer1.conv2.weight"]
    torch.testing.assert_close(encoder.stages[0].denseblock1.denselayer1.conv2.weight.data, expected)


def test_mnasnets_weights_as_safetensors(tmp_path):
    """The format drops the version that torchvision's MNASNet asks for."""
    state = mnasnet0_5().state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    encoder = build_encoder("mnasnet0_5", weights=str(tmp_path / "weights.safetensors"))
    torch.testing.assert_close(next(encoder.parameters()).data, state["layers.0.weight"])


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(get_model("mobilenet_v3_small").state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"weights\.pth: not the weights of torchvision's resnet18"):
        build_encoder("resnet18", weights=str(tmp_path / "weights.pth"))


def test_imagenet_weights_are_torchvisions_default(monkeypatch):
    state = get_model("resnet18").state_dict()
    asked = []
    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", lambda self, **options: asked.append(self) or state)
    encoder = build_encoder("resnet18", weights="imagenet")
    assert asked == [ResNet18_Weights.DEFAULT]
    torch.testing.assert_close(encoder.stages[0].conv1.weight.data, state["conv1.weight"])


def test_without_a_network_a_local_file_is_proposed(monkeypatch):
    def offline(self, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", offline)
    with pytest.raises(OSError, match=r"could not be downloaded .*no route to host.* local file"):
        build_encoder("resnet18", weights="imagenet")
