# SPDX-License-Identifier: Apache-2.0
"""Encoders against torchvision's own networks."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import get_model, resnet18, resnet50
from torchvision.models.feature_extraction import create_feature_extractor

from cen_model.config import ExchangeConfig
from cen_model.encoders import build_encoder
from cen_model.exchange import ExchangeNorm, to_modal
from cen_model.reshape import NotDilatableError

# The last layer of each stride, read off torchvision's source by hand.
NODES = {
    "resnet18": ("layer1", "layer2", "layer3", "layer4"),
    "mobilenet_v2": ("features.3", "features.6", "features.13", "features.18"),
    "mobilenet_v3_small": ("features.1", "features.3", "features.8", "features.12"),
    "efficientnet_b0": ("features.2", "features.3", "features.5", "features.8"),
    "regnet_y_400mf": ("trunk_output.block1", "trunk_output.block2", "trunk_output.block3", "trunk_output.block4"),
    "shufflenet_v2_x0_5": ("maxpool", "stage2", "stage3", "conv5"),
    "mnasnet0_5": ("layers.8", "layers.9", "layers.11", "layers.16"),
    "vgg11_bn": ("features.13", "features.20", "features.27", "features.28"),
}


def with_random_norms(network):
    """Statistics and factors as after some training, many factors under θ."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data = torch.where(
                torch.rand_like(module.weight) < 0.3, 1e-3, 1 + torch.rand_like(module.weight)
            )
    return network


@pytest.mark.parametrize("name", NODES)
def test_stages_give_torchvisions_features(name, tmp_path):
    torch.manual_seed(0)
    network = with_random_norms(get_model(name)).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    encoder = build_encoder(name, weights=str(tmp_path / "weights.pth")).eval()
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        features = encoder(image)
        expected = create_feature_extractor(network, list(NODES[name]))(image)
    assert [tuple(f.shape[-2:]) for f in features] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert encoder.channels == tuple(f.shape[1] for f in features)
    for feature, node in zip(features, NODES[name], strict=True):
        torch.testing.assert_close(feature, expected[node])


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "efficientnet_b0", "regnet_y_400mf"])
def test_the_modal_encoder_with_equal_inputs_gives_the_original_features(name):
    """Exchange takes place, and changes nothing: pretrained weights are kept."""
    torch.manual_seed(0)
    original = with_random_norms(build_encoder(name)).eval()
    modal = to_modal(copy.deepcopy(original), 2, partial(ExchangeNorm, config=ExchangeConfig(scope="all"))).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected, actual = original(image), modal(image.repeat(2, 1, 1, 1))
    assert any(layer.replaced().any() for layer in modal.modules() if isinstance(layer, ExchangeNorm))
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs.repeat(2, 1, 1, 1), rtol=1e-4, atol=1e-4)


def test_dilation_is_torchvisions():
    torch.manual_seed(0)
    network = with_random_norms(resnet50(replace_stride_with_dilation=[False, True, True])).eval()
    encoder = build_encoder("resnet50", output_stride=8).eval()
    ours, theirs = encoder.state_dict(), network.state_dict()
    encoder.load_state_dict({name: theirs[name.split(".", 2)[2]] for name in ours})
    image = torch.randn(1, 3, 65, 97)
    with torch.no_grad():
        expected = create_feature_extractor(network, ["layer1", "layer2", "layer3", "layer4"])(image)
        for feature, other in zip(encoder(image), expected.values(), strict=True):
            torch.testing.assert_close(feature, other)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "efficientnet_b0", "regnet_y_400mf"])
def test_a_dilated_network_agrees_with_the_original_where_both_answer(name):
    """Without padding's influence, every eighth and sixteenth pixel of the dilated features is the original's."""
    torch.manual_seed(0)
    network = with_random_norms(build_encoder(name)).eval()
    dilated = build_encoder(name, output_stride=8).eval()
    dilated.load_state_dict(network.state_dict())
    for module in (*network.modules(), *dilated.modules()):
        if isinstance(module, nn.AdaptiveAvgPool2d):  # squeeze-and-excitation sees other pixels by design
            module.forward = lambda x: x.new_zeros(x.shape[0], x.shape[1], 1, 1)
    constant = torch.randn(1, 3, 1, 1).expand(1, 3, 512, 512)
    with torch.no_grad():
        expected, actual = network(constant), dilated(constant)
    assert [f.shape[-1] for f in actual] == [128, 64, 64, 64]
    for coarse, fine, factor in zip(expected[2:], actual[2:], (2, 4), strict=True):
        middle = coarse.shape[-1] // 2
        torch.testing.assert_close(
            fine[..., middle * factor, middle * factor], coarse[..., middle, middle], rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize("name", ["vgg11_bn", "densenet121"])
def test_networks_that_pool_are_not_dilated(name):
    with pytest.raises(NotDilatableError, match=f"{name} .* pooling"):
        build_encoder(name, output_stride=8)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet19", "did you mean .*resnet18"),
        ("convnext_tiny", "no BatchNorm"),
        ("inception_v3", "no stages at strides 4, 8, 16 and 32"),
        ("maxvit_t", "no chain of convolutional layers"),
    ],
)
@pytest.mark.filterwarnings("ignore:The default weight initialization")
def test_networks_that_cannot_be_encoders(name, message):
    with pytest.raises(ValueError, match=message):
        build_encoder(name)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "efficientnet_b0"])
def test_width_scales_every_layer(name):
    narrow, full = build_encoder(name, width=0.5), build_encoder(name)
    assert narrow.channels == tuple(round(c / 2) for c in full.channels)
    assert [f.shape[1] for f in narrow.eval()(torch.zeros(1, 3, 64, 64))] == list(narrow.channels)


def test_grouped_convolutions_keep_their_width():
    with pytest.raises(ValueError, match=r"encoder='regnet_y_400mf' and encoder_width=0\.5"):
        build_encoder("regnet_y_400mf", width=0.5)


def test_nothing_is_computed_on_the_meta_device():
    with torch.device("meta"):
        encoder = build_encoder("regnet_y_400mf")
    assert all(parameter.is_meta for parameter in encoder.parameters())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_pretrained_weights_from_a_file_survive_another_number_of_channels(tmp_path, channels, suffix):
    """A one-channel stem answers as the original does to that channel repeated; six channels, to RGB repeated."""
    original = resnet18().eval()
    path = tmp_path / f"weights{suffix}"
    (torch.save if suffix == ".pth" else save_file)(original.state_dict(), path)
    encoder = build_encoder("resnet18", channels, weights=str(path)).eval()
    image = torch.randn(1, channels if channels < 3 else 3, 64, 64)
    stem = original.bn1(original.conv1(image.expand(1, 3, 64, 64)))
    expected = original.layer1(original.maxpool(original.relu(stem)))
    actual = encoder(image.repeat(1, max(1, channels // 3), 1, 1))[0]
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)
