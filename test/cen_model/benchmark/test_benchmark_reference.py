# SPDX-License-Identifier: Apache-2.0
"""The benchmark's reference network and machine: against the stacked network, the published outputs, the predictor."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cen_model.benchmark import machine
from cen_model.benchmark.reference import ListNetwork, exchange_a_third, frame
from cen_model.config import ExchangeConfig, FusionConfig, SegmentationConfig, TranslationConfig
from cen_model.models import build
from cen_model.nn.exchange import exchange_norms
from cen_model.predictor import Predictor
from cen_model.published.segmentation_checkpoint import from_published
from cen_model.utils.devices import INSTRUCTIONS
from helpers.golden import GOLDEN, reference

SMALL = SegmentationConfig(encoder="resnet18", encoder_width=0.25, decoder="light_refinenet", decoder_width=16)
THETA = SMALL.exchange.threshold
CHANNELS = {"rgb": 3, "depth": 1}


def make(config=SMALL, seed=0):
    torch.manual_seed(seed)
    return exchange_a_third(build(config), seed)


def images():
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(2, channels, 64, 96, generator=generator) for name, channels in CHANNELS.items()}


@pytest.fixture(scope="module")
def model():
    return make()


@pytest.fixture
def camera():
    generator = np.random.default_rng(0)
    depth = generator.integers(400, 5000, (96, 128)).astype(np.uint16)
    depth[10:20, 30:50] = 0
    return generator.integers(0, 256, (96, 128, 3), np.uint8), depth


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, exchange=ExchangeConfig(scope="all")),
        replace(SMALL, exchange=ExchangeConfig(layers="downsampling")),
        replace(SMALL, encoder="resnet50", decoder="refinenet"),
        replace(SMALL, encoder="mobilenet_v3_large", encoder_width=0.5),
        replace(SMALL, encoder="efficientnet_b0", encoder_width=0.5),
        replace(SMALL, encoder="shufflenet_v2_x1_0", encoder_width=1.0),  # reads the batch size
        replace(SMALL, decoder="pspnet"),
    ],
    ids=lambda config: f"{config.encoder}-{config.decoder}-{config.exchange.scope}-{config.exchange.layers}",
)
@torch.no_grad()
def test_outputs_equal_those_of_the_stacked_network(config):
    model = make(config)
    expected, actual = model(images()), ListNetwork(model)(images())
    assert model.exchanged_share() > 0.3, "hardly anything was exchanged: the test shows nothing"
    assert list(actual) == list(expected) == ["rgb", "depth", "ensemble"]
    for name, output in expected.items():
        assert (actual[name] - output).abs().max() <= 1e-5 * output.abs().max(), name


@pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the reference outputs are missing: {GOLDEN}")
@torch.no_grad()
def test_outputs_equal_those_of_the_published_code():
    golden, weights = reference("refinenet50")
    config, tensors = from_published(weights["segmenter"])
    model = build(config)
    model.load_state_dict(tensors)
    outputs = ListNetwork(model)({name: golden[name] for name in CHANNELS})
    for name, output in outputs.items():
        expected = golden[f"out_{name}"]
        assert (output - expected).abs().max() <= 1e-4 * expected.abs().max(), name


@torch.no_grad()
def test_layers_run_once_for_every_modality_in_the_default_layout():
    """…also where the network had been made channels-last, which is left as it was."""
    model = make().to(memory_format=torch.channels_last)
    calls, layouts, network = Counter(), [], ListNetwork(model)

    def watch(module, args, output):
        calls[module] += 1
        layouts.append((args[0].is_contiguous(), output.is_contiguous(), args[0].shape[0]))

    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    for conv in convs:
        conv.register_forward_hook(watch)
    network(images())
    assert calls == dict.fromkeys(convs, 2)
    assert set(layouts) == {(True, True, 2)}  # contiguous in and out, the batch of one modality
    assert all(weight.stride() == torch.empty(weight.shape).stride() for weight in network.parameters())
    assert not all(weight.is_contiguous() for weight in model.parameters())


@torch.no_grad()
def test_scaling_factors_are_compared_in_every_frame(model):
    network = ListNetwork(model)
    changed = copy.deepcopy(model)
    before = network(images())["rgb"]
    for each in (changed, network):
        for norm in exchange_norms(each):
            for single in norm.norms:
                single.weight.copy_(single.weight.flip(0))
    after = network(images())["rgb"]
    torch.testing.assert_close(after, changed(images())["rgb"], rtol=0, atol=1e-5 * after.abs().max().item())
    assert (after - before).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TranslationConfig(filters=4), "task: .* got 'translation'"),
        (replace(SMALL, modalities=("rgb",), exchange=None), "modalities: .* 2 alone, got 1"),
        (replace(SMALL, modalities=("rgb", "depth", "normal")), "modalities: .* got 3"),
        (replace(SMALL, convs="private"), "convs: .* got 'private'"),
        (replace(SMALL, exchange=None), "exchange.policy: .* got None"),
        (replace(SMALL, exchange=ExchangeConfig(policy="sum")), "exchange.policy: .* got 'sum'"),
        (replace(SMALL, fusion=FusionConfig("average")), "fusion: .* got FusionConfig"),
    ],
)
def test_networks_that_the_published_code_does_not_have_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        ListNetwork(build(config))


@pytest.mark.parametrize("height", [None, 48])
def test_labels_of_a_frame_agree_with_the_predictor(camera, height):
    """…and what is interleaved in the camera's image is planar in the network."""
    model, layouts = make(replace(SMALL, input_height=height)), []
    network = ListNetwork(model)
    stem = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    stem.register_forward_pre_hook(lambda module, args: layouts.append(args[0].is_contiguous()))
    labels = frame(network, *camera)
    assert layouts == [True, True]
    assert labels.dtype == np.uint8 and labels.shape == (96, 128)
    assert len(np.unique(labels)) > 1
    assert (labels == Predictor(model, device="cpu").predict(*camera).labels).mean() > 0.999


def test_a_third_of_the_channels_in_scope_is_exchanged(model):
    for norm in exchange_norms(model):
        gamma_MC, scope_MC = norm.scaling_factors().abs(), norm.scope_MC
        small_MC = gamma_MC < THETA
        expected = [round(int(count) / 3) for count in scope_MC.sum(1)]
        assert small_MC.sum(1).tolist() == expected
        assert not (small_MC & ~scope_MC).any()
        assert (gamma_MC[small_MC] < THETA / 2).all() and (gamma_MC[~small_MC] >= 2 * THETA).all()


def test_scaling_factors_that_were_small_are_raised():
    model = build(SMALL)
    for norm in exchange_norms(model):
        norm.norms[0].weight.data.fill_(0.01)
    assert exchange_a_third(model, 0).exchanged_share() == pytest.approx(1 / 3, abs=0.02)


def test_benchmark_models_depend_on_their_seed_alone():
    """…and leave the global random state alone."""
    built, made = build(SMALL), []
    for state, seed in enumerate((3, 3, 4)):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        made.append(exchange_a_third(copy.deepcopy(built), seed).state_dict())
        assert torch.equal(torch.get_rng_state(), before)
    first, second, other = made
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("encoder", ["resnet101", "mobilenet_v3_large", "efficientnet_b0"])
@torch.no_grad()
def test_activations_stay_within_half_precision_on_images_of_another_kind(encoder):
    """Noise at another size than that of the running statistics; deep networks would multiply any difference."""
    model = make(replace(SMALL, encoder=encoder, encoder_width=0.5))
    x = torch.cat([torch.randn(2, 3, 96, 128) * 1.2, torch.rand(2, 1, 96, 128).repeat(1, 3, 1, 1) * 5])
    for stage in model.encoder.stages:
        x = stage(x)
        assert 0.1 < x.std() < 1000 and x.abs().max() < 6e4 / 8
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        constants = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        assert not any(torch.equal(values, values[:1].expand_as(values)) for values in constants)


@pytest.mark.parametrize("make_product", [machine._matrices, machine._convolution])
def test_what_the_ceiling_times_is_a_matrix_product(make_product):
    x = torch.rand(256, 256)
    with FlopCounterMode(display=False) as flops:
        product = make_product(x)()
    assert flops.get_total_flops() == 2 * 256**3
    if product.ndim == 4:
        torch.testing.assert_close(product.permute(0, 2, 3, 1).reshape(256, 256), x @ x.T)
    else:
        torch.testing.assert_close(product, x @ x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_ceiling_is_that_of_a_computer(dtype):
    assert 1e8 < machine.matmul_ceiling(dtype, "cpu") < 1e15


def test_a_machine_is_described():
    found = machine.describe("cpu")
    assert found["cpu"] and found["torch"] == version("torch") and "gpu" not in found
    flags = set(Path("/proc/cpuinfo").read_text().split())
    assert {name for name in INSTRUCTIONS if name in flags} == set(found["instructions"].split())
    assert all(isinstance(value, str) for value in found.values())


PEAK = "from cen_model.benchmark.machine import peak_memory; before = peak_memory();"


def peak_of_a_process(code):
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def test_peak_memory_is_that_of_the_process_itself():
    """It stays after memory is given back, and what started the process does not count."""
    size = 200_000_000
    grown = peak_of_a_process(f"{PEAK} x = bytearray(b'x') * {size}; del x; print(peak_memory() - before)")
    assert grown == pytest.approx(size, rel=0.2)
    nested = f"import subprocess, sys; x = bytearray(b'x') * {6 * size}; " + (
        f"subprocess.run([sys.executable, '-c', {PEAK + 'print(before)'!r}])"
    )
    assert peak_of_a_process(nested) < 6 * size
