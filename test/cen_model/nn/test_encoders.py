# SPDX-License-Identifier: Apache-2.0
"""Encoders against torchvision's own networks."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.models import get_model, resnet50
from torchvision.models.feature_extraction import create_feature_extractor

from cen_model.config import ExchangeConfig
from cen_model.nn.encoder_surgery import NotDilatableError
from cen_model.nn.encoders import STRIDES, build_encoder
from cen_model.nn.exchange import ExchangeNorm, to_modal
from helpers.random_norms import with_random_norms

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
    "densenet121": ("features.denseblock1", "features.denseblock2", "features.denseblock3", "features.norm5"),
}


@pytest.mark.parametrize("name", NODES)
def test_stages_give_torchvisions_features(name):
    """Built from the same seed, they have the same weights."""
    torch.manual_seed(0)
    network = with_random_norms(get_model(name)).eval()
    torch.manual_seed(0)
    encoder = with_random_norms(build_encoder(name)).eval()
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        features = encoder(image)
        expected = create_feature_extractor(network, list(NODES[name]))(image)
    assert [tuple(f.shape[-2:]) for f in features] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert encoder.channels == tuple(f.shape[1] for f in features)
    assert encoder.strides == (4, 8, 16, 32)
    for feature, node in zip(features, NODES[name], strict=True):
        torch.testing.assert_close(feature, expected[node])


@pytest.mark.parametrize("fuse", [None, partial(ExchangeNorm, config=ExchangeConfig(scope="all"))])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "efficientnet_b0", "regnet_y_400mf"])
def test_the_modal_encoder_with_equal_inputs_gives_the_original_features(name, fuse):
    """Whether or not exchange takes place: pretrained weights are kept."""
    torch.manual_seed(0)
    original = with_random_norms(build_encoder(name)).double().eval()
    modal = to_modal(copy.deepcopy(original), 2, fuse).eval()
    image = torch.randn(1, 3, 64, 64, dtype=torch.double)
    with torch.no_grad():
        expected, actual = original(image), modal(image.repeat(2, 1, 1, 1))
    exchanges = any(layer.replaced().any() for layer in modal.modules() if isinstance(layer, ExchangeNorm))
    assert exchanges == (fuse is not None)
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs.repeat(2, 1, 1, 1))


def test_dilation_is_torchvisions():
    torch.manual_seed(0)
    network = with_random_norms(resnet50(replace_stride_with_dilation=[False, True, True])).eval()
    encoder = build_encoder("resnet50", output_stride=8).eval()
    ours, theirs = encoder.state_dict(), network.state_dict()
    encoder.load_state_dict({name: theirs[name.split(".", 2)[2]] for name in ours})
    image = torch.randn(1, 3, 65, 97)
    assert encoder.strides == (4, 8, 8, 8)
    with torch.no_grad():
        expected = create_feature_extractor(network, ["layer1", "layer2", "layer3", "layer4"])(image)
        for feature, other in zip(encoder(image), expected.values(), strict=True):
            torch.testing.assert_close(feature, other)


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v3_small", "efficientnet_b0", "regnet_y_400mf", "shufflenet_v2_x0_5"]
)
def test_a_dilated_network_sampled_at_its_own_stride_is_the_original(name, output_stride):
    torch.manual_seed(0)
    network = with_random_norms(build_encoder(name)).double().eval()
    dilated = build_encoder(name, output_stride=output_stride).double().eval()
    dilated.load_state_dict(network.state_dict())
    for module in (*network.modules(), *dilated.modules()):
        if isinstance(module, nn.AdaptiveAvgPool2d):  # squeeze-and-excitation sees other pixels by design
            module.forward = lambda x: x.new_zeros(x.shape[0], x.shape[1], 1, 1)
    image = torch.randn(1, 3, 128, 192, dtype=torch.double)
    with torch.no_grad():
        expected, actual = network(image), dilated(image)
    assert dilated.strides == tuple(128 // f.shape[-2] for f in actual) == tuple(min(s, output_stride) for s in STRIDES)
    for coarse, fine, before, after in zip(expected, actual, STRIDES, dilated.strides, strict=True):
        step = before // after
        torch.testing.assert_close(fine[..., ::step, ::step], coarse)


@pytest.mark.parametrize("name", ["vgg11_bn", "densenet121"])
def test_networks_that_pool_are_not_dilated(name):
    with pytest.raises(NotDilatableError, match=f"encoder='{name}' cannot be dilated to output stride 8: .* pooling"):
        build_encoder(name, output_stride=8)


def test_an_output_stride_that_no_stage_has_is_refused():
    with pytest.raises(ValueError, match=r"output_stride must be one of .*, got 12"):
        build_encoder("resnet18", output_stride=12)


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


def test_the_narrowest_layers_keep_one_channel():
    assert build_encoder("mobilenet_v2", width=0.01).channels == (1, 1, 1, 13)


def test_grouped_convolutions_keep_their_width():
    with pytest.raises(ValueError, match=r"encoder='regnet_y_400mf' and encoder_width=0\.5"):
        build_encoder("regnet_y_400mf", width=0.5)


def test_a_width_at_which_concatenated_channels_do_not_add_up_is_refused():
    with pytest.raises(ValueError, match=r"encoder='shufflenet_v2_x1_0' and encoder_width=0\.3 .* do not add up"):
        build_encoder("shufflenet_v2_x1_0", width=0.3)


def test_parameters_stay_on_the_meta_device():
    with torch.device("meta"):
        encoder = build_encoder("regnet_y_400mf", in_channels=6, output_stride=8)
    assert all(parameter.is_meta for parameter in encoder.parameters())
    assert encoder.channels == (48, 104, 208, 440)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_building_needs_no_values(name):
    with FakeTensorMode():
        fake = build_encoder(name, in_channels=6, output_stride=8)
    real = build_encoder(name, in_channels=6, output_stride=8)
    assert (fake.channels, fake.strides) == (real.channels, real.strides)
    assert {k: v.shape for k, v in fake.state_dict().items()} == {k: v.shape for k, v in real.state_dict().items()}


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0"])
def test_measuring_leaves_no_trace(name):
    """Random numbers are drawn by torchvision's initialization alone; modes and BatchNorm statistics are untouched."""
    torch.manual_seed(0)
    network = get_model(name)
    expected = torch.get_rng_state()
    torch.manual_seed(0)
    encoder = build_encoder(name, in_channels=6, output_stride=8)
    torch.testing.assert_close(torch.get_rng_state(), expected)
    assert all(module.training for module in encoder.modules())
    assert not any(module._forward_pre_hooks for module in encoder.modules())
    norms = [[m.state_dict() for m in each.modules() if isinstance(m, nn.BatchNorm2d)] for each in (encoder, network)]
    torch.testing.assert_close(norms[0], norms[1][: len(norms[0])])
