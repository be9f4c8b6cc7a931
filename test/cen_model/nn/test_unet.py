# SPDX-License-Identifier: Apache-2.0
"""The U-Net and the discriminator: what exchanges, what is shared, which images they take, how they start.

Axes: M modalities, B batch, C channels, H W pixels.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cen_model.config import ExchangeConfig, TranslationConfig
from cen_model.models import build
from cen_model.nn.discriminator import Discriminator
from cen_model.nn.exchange import ExchangeNorm
from cen_model.nn.unet import InstanceNorm, UNetDecoder, UNetEncoder
from cen_model.registry import REGISTRY

PAPER = TranslationConfig(filters=4)
PUBLISHED = replace(REGISTRY["unet-published"], filters=4)


def image(channels=1, size=(256, 256)):
    return torch.rand(1, channels, *size) * 2 - 1


@torch.no_grad()
def randomize_norms(model):
    """Scaling factors of which about a third lie under the threshold, and shifts."""
    for module in model.modules():
        if isinstance(module, InstanceNorm):
            module.weight.copy_(torch.where(torch.rand_like(module.weight) < 0.33, 1e-3, module.weight + 0.5))
            module.bias.normal_(0, 0.3)


def normalized(x, norm):
    """γ (x − μ) / σ + β by hand; without μ and σ for a single pixel."""
    if x[0, 0].numel() > 1:
        variance = x.var((2, 3), correction=0, keepdim=True)
        x = (x - x.mean((2, 3), keepdim=True)) / (variance + norm.eps).sqrt()
    return x * norm.weight[:, None, None] + norm.bias[:, None, None]


def exchanged(parts, norms, threshold):
    """Eq. 6, channel by channel, in the m-th of M equal parts."""
    result = [part.clone() for part in parts]
    for m, norm in enumerate(norms):
        own = len(norm.weight) // len(parts)
        for c in range(m * own, (m + 1) * own):
            if norm.weight[c].abs() < threshold:
                result[m][:, c] = torch.stack([part[:, c] for n, part in enumerate(parts) if n != m]).mean(0)
    return result


def slow_generator(model, inputs):
    """The paper's generator, one modality after the other: eight exchanging convolutions, a shared decoder."""
    x, features = list(inputs), []
    for i, stage in enumerate(model.encoder.stages):
        x = [F.conv2d(F.leaky_relu(y, 0.2) if i else y, stage.conv.weight, stage.conv.bias, 2, 1) for y in x]
        x = [normalized(y, norm) for y, norm in zip(x, stage.norm.norms, strict=True)]
        x = exchanged(x, stage.norm.norms, threshold=1e-2)
        features.append(x)
    for i, block in enumerate(model.decoder.blocks):
        x = [F.conv_transpose2d(y.relu(), block.conv.weight, block.conv.bias, 2, 1) for y in x]
        if i < 7:
            x = [torch.cat([normalized(y, block.norm), skip], 1) for y, skip in zip(x, features[6 - i], strict=True)]
    return [y.tanh() for y in x]


def test_the_papers_generator_agrees_with_a_slow_one():
    """Three modalities, of one and three channels, each with its own 1/3 of the channels."""
    torch.manual_seed(0)
    names = ("depth", "normal", "texture")
    model = build(TranslationConfig(names, exchange=ExchangeConfig(threshold=1e-2), filters=3)).eval()
    for module in model.modules():  # from pix2pix's start, all images would be nearly gray
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(module.weight)
    randomize_norms(model)
    assert 0.2 < model.exchanged_share() < 0.5
    inputs = [image(), image(3), image()]
    with torch.no_grad():
        outputs = model(dict(zip(names, inputs, strict=True)))
        expected = slow_generator(model, [x.expand(-1, 3, -1, -1) for x in inputs])
    for name, reference in zip(names, expected, strict=True):
        torch.testing.assert_close(outputs[name], reference, rtol=1e-4, atol=1e-4)
        assert reference.std() > 0.1


@pytest.mark.parametrize(("config", "changing"), [(PAPER, range(8)), (PUBLISHED, range(1, 7))])
def test_which_convolutions_exchange(config, changing):
    """All eight in the paper, the second to the seventh in the published code; all eight are penalized in both."""
    model = build(config)
    assert all(isinstance(stage.norm, ExchangeNorm) for stage in model.encoder.stages)
    features = sum(stage.norm.norms[0].num_features for stage in model.encoder.stages)
    assert model.sparsity() == features  # γ starts at 1, and each modality's half is penalized
    for stage in model.encoder.stages:
        for norm in stage.norm.norms:
            nn.init.constant_(norm.weight, 1e-3)
    x = torch.randn(2, model.in_channels, 256, 256)
    for i, stage in enumerate(model.encoder.stages):
        with torch.no_grad():
            before = stage(x)
            after = stage(torch.cat([x[:1], torch.randn_like(x[1:])]))  # another image of the second modality
        assert torch.equal(before[0], after[0]) != (i in changing)
        x = before


@pytest.mark.parametrize(
    "modalities",
    [("depth",), ("depth", "normal"), ("depth", "normal", "texture"), ("depth", "normal", "texture", "shade")],
)
def test_one_to_four_modalities_of_one_or_three_channels(modalities):
    model = build(TranslationConfig(modalities, exchange=ExchangeConfig() if len(modalities) > 1 else None, filters=4))
    channels = {"depth": 1, "normal": 3, "texture": 1, "shade": 1}
    outputs = model({name: image(channels[name]) for name in modalities})
    assert list(outputs) == [*modalities, "ensemble"]
    assert all(output.shape == (1, 3, 256, 256) and output.abs().max() <= 1 for output in outputs.values())


def test_decoder_norms_are_shared_in_the_paper_and_private_in_the_published_code():
    count = [
        sum(m.num_features for m in build(config).decoder.modules() if isinstance(m, InstanceNorm))
        for config in (PAPER, PUBLISHED)
    ]
    assert count == [4 * (8 * 4 + 4 + 2 + 1), 2 * 4 * (8 * 4 + 4 + 2 + 1)]


def test_instance_norm_agrees_with_torch():
    ours, torchs = InstanceNorm(3), nn.InstanceNorm2d(3, affine=True, track_running_stats=True)
    x = torch.randn(2, 3, 5, 5) + 2
    expected = torchs(x)
    torch.testing.assert_close(ours(x), expected)
    torch.testing.assert_close(ours.running_mean, torchs.running_mean)
    torch.testing.assert_close(ours.eval()(x), expected)
    torch.testing.assert_close(ours.running_mean, torchs.running_mean)  # evaluation gathers no statistics
    ours.use_running_statistics = True
    torch.testing.assert_close(ours(x), torchs.eval()(x))


@pytest.mark.parametrize("training", [True, False])
def test_a_single_pixel_is_scaled_and_shifted_where_torch_refuses_it(training):
    norm, x = InstanceNorm(3).train(training), torch.randn(2, 3, 1, 1)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    torch.testing.assert_close(norm(x), norm.weight[:, None, None] * x + norm.bias[:, None, None])
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        nn.InstanceNorm2d(3)(x)


def test_dropout_is_in_the_first_three_blocks_of_the_decoder():
    blocks = UNetDecoder(UNetEncoder(1, 4).channels, 3, dropout=0.4).blocks
    assert [block.dropout.p for block in blocks] == [0.4] * 3 + [0.0] * 5


def test_convolutions_start_as_pix2pixs():
    torch.manual_seed(0)
    encoder = UNetEncoder(3, 16)
    for network in (encoder, UNetDecoder(encoder.channels, 3), Discriminator(3, 3, 32)):
        convs = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
        weights = torch.cat([conv.weight.detach().flatten() for conv in convs])
        assert abs(weights.mean()) < 1e-4 and weights.std().item() == pytest.approx(0.02, rel=0.01)


@pytest.mark.parametrize("size", [(255, 256), (256, 300), (128, 128)])
@pytest.mark.parametrize("config", [PAPER, replace(REGISTRY["unet-concat-all"], filters=4)])
def test_images_of_another_size_are_refused_in_words(config, size):
    with pytest.raises(ValueError, match=rf"multiples of 256 pixels, got {size[0]}×{size[1]}"):
        build(config)({name: image(size=size) for name in config.modalities})


@pytest.mark.parametrize(
    ("widths", "exported_at", "run_at"), [(None, 256, 256), (256 * torch.export.Dim("k", min=2, max=4), 512, 768)]
)
@pytest.mark.parametrize("config", [PAPER, PUBLISHED])
def test_an_exported_generator_gives_the_same_images(config, widths, exported_at, run_at):
    """At 256×256, where the last norm has a single pixel, in a graph of its own; all larger widths share one."""
    model = build(config).eval()
    randomize_norms(model)
    example = {name: image(size=(256, exported_at)) for name in config.modalities}
    shapes = ({name: {3: widths} if widths else None for name in config.modalities},)
    exported = torch.export.export(model, (example,), dynamic_shapes=shapes).module()
    inputs = {name: image(size=(256, run_at)) for name in config.modalities}
    with torch.no_grad():
        expected, actual = model(inputs), exported(inputs)
    for name, output in expected.items():
        torch.testing.assert_close(actual[name], output)


def test_a_patch_sees_70_pixels():
    discriminator = Discriminator(1, 1, filters=2)
    for norm in discriminator.norms:
        norm.forward = lambda x: x  # instance statistics see the whole image
    x = torch.zeros(1, 1, 256, 256, requires_grad=True)
    discriminator(x, x)[0, 0, 15, 15].backward()
    rows = x.grad.abs().sum((0, 1, 3)).nonzero()
    assert rows.max() - rows.min() + 1 == 70
