# SPDX-License-Identifier: Apache-2.0
"""Figures of runs, from fabricated histories whose answers are known."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.numpy import save_file

from cen_model import checkpoint
from cen_model.analysis import feature_maps, figures, theorem
from cen_model.analysis.explanation import explanation
from cen_model.analysis.history import read
from cen_model.analysis.run_figures import _differing_in
from cen_model.classes import NYU13
from cen_model.cli.analyze import main
from cen_model.config import ExchangeConfig, SegmentationConfig
from cen_model.data.data_config import DataConfig, SyntheticConfig
from cen_model.losses.segmentation import inputs, losses
from cen_model.models import build
from cen_model.nn.exchange import exchange_norms
from cen_model.training.run_config import OptimizerConfig, TrainConfig, plain

CLASSES = ("a", "b", "c")


def network(**exchange):
    torch.manual_seed(0)
    config = SegmentationConfig(classes=CLASSES, encoder="resnet18", encoder_width=0.125, decoder_width=8)
    return build(replace(config, exchange=ExchangeConfig(**exchange)))


def set_gamma(layer, gamma_MC):
    with torch.no_grad():
        for norm, gamma in zip(layer.norms, gamma_MC, strict=True):
            norm.weight.copy_(torch.as_tensor(gamma))


@pytest.fixture
def run(tmp_path):
    """Three notes: in the first layer, channel 0 of RGB falls and stays, channel 1 falls and recovers."""
    model = network()
    names = {name for name, layer in model.named_modules() if layer in set(exchange_norms(model))}
    first = next(name for name, layer in model.named_modules() if name in names)
    for step in (0, 10, 20):
        gamma = {}
        for name in names:
            values = np.full((2, model.get_submodule(name).norms[0].num_features), 0.5, np.float32)
            if name == first:
                values[0, :2] = {0: (0.5, 0.5), 10: (0.01, 0.01), 20: (-0.001, 0.3)}[step]
            set_gamma(model.get_submodule(name), values)
            gamma[name] = values
        (tmp_path / "gamma").mkdir(exist_ok=True)
        save_file(gamma, tmp_path / "gamma" / f"{step:08d}.safetensors")
    checkpoint.save(tmp_path / "last.safetensors", model)
    return tmp_path, first


def test_a_history_is_what_the_run_wrote(run):
    folder, first = run
    history = read(folder)
    assert history.steps.tolist() == [0, 10, 20]
    assert next(iter(history.gamma)) == first  # in the order of the network, not of the alphabet
    assert history.gamma[first][:, 0, 0].tolist() == pytest.approx([0.5, 0.01, -0.001])
    assert figures.recoveries(history) == (1, 2)
    shares = figures.share_below(history)
    half = history.gamma[first].shape[2] // 2
    assert shares[first].tolist() == pytest.approx([1 / half, 0])
    assert all(not shares[name].any() for name in shares if name != first)
    assert "Of 2 penalized γ that were below θ at an earlier note, 1 are at the end." in explanation([history])


def test_the_explanation_tells_when_and_how_far(run):
    folder, first = run
    history = read(folder)
    total = sum(int(each.sum()) for each in history.penalized.values())
    text = explanation([history])
    assert f"by step: 0: 0%, 10: {2 / total:.0%}, 20: {1 / total:.0%}." in text
    line = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    values = [0.5] * (2 * (history.gamma[first].shape[2] // 2) - 2) + [0.001, 0.3]
    penalized = ", ".join(f"{np.percentile(values, q):.3f}" for q in (5, 50, 95))
    assert line.endswith(f"| {penalized} | 0.500, 0.500, 0.500 |")


def test_a_folder_without_exchange_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no scaling factors"):
        read(tmp_path)


def sample(size=2):
    random = torch.Generator().manual_seed(1)
    return {
        "rgb": torch.randint(0, 256, (size, 3, 32, 32), generator=random, dtype=torch.uint8),
        "depth": torch.rand(size, 1, 32, 32, generator=random) * 5,
        "label": torch.randint(0, 3, (size, 32, 32), generator=random, dtype=torch.uint8),
    }


def test_theorem_1_against_its_formula_with_gradients_of_another_way():
    """|∂L/∂x'| by adding a zero that takes the gradient, Φ by the tabulated complementary error function."""
    model, batch, penalty = network(), sample(), 1e-3
    probability = theorem.attraction(model, [batch], penalty)
    name, layer = next((name, each) for name, each in model.named_modules() if each in set(exchange_norms(model)))
    zeros, handles = [], []
    for norm in layer.norms:

        def add(module, arguments, output):
            zeros.append(torch.zeros_like(output, requires_grad=True))
            return output + zeros[-1]

        handles.append(norm.register_forward_hook(add))
    model.eval()
    sum(losses(model(inputs(batch, model.config, torch.device("cpu"))), batch["label"]).values()).backward()
    for handle in handles:
        handle.remove()
    for m in range(2):
        for channel in range(0, zeros[m].shape[1], 3):
            deviation = math.sqrt(float((zeros[m].grad[:, channel] ** 2).sum()))
            expected = 1.0 if deviation == 0 else 1 - math.erfc(penalty / deviation / math.sqrt(2))
            assert probability[name][m, channel] == pytest.approx(expected, abs=1e-5)
    assert 0 < np.mean([p.mean() for p in probability.values()]) < 1


def test_a_larger_penalty_attracts_more():
    model, batch = network(), sample()
    weak, strong = (theorem.attraction(model, [batch], penalty) for penalty in (1e-4, 1e-2))
    assert all((strong[name] >= weak[name]).all() for name in weak)


def test_feature_maps_are_means_of_the_channels_of_their_group():
    model, batch = network(), sample(1)
    name, layer = next((name, each) for name, each in model.named_modules() if each in set(exchange_norms(model)))
    gamma = np.full((2, layer.norms[0].num_features), 0.5, np.float32)
    gamma[0, :3], gamma[1, 4] = 0.001, -0.001
    set_gamma(layer, gamma)
    seen = []
    handles = [norm.register_forward_hook(lambda _, __, output: seen.append(output)) for norm in layer.norms]
    maps = feature_maps.averaged_maps(model, batch, name)
    for handle in handles:
        handle.remove()
    assert [title.rpartition(": ")[2] for title in maps] == [
        "3 channels",
        "1 channels",
        f"{len(gamma[0]) - 4} channels",
    ]
    first = next(iter(maps.values()))
    expected = sum(seen[1][0, channel].clamp(min=0) for channel in range(3)) / 3
    assert np.allclose(first[1], expected.detach().numpy(), atol=1e-6)


def test_the_command_draws_every_figure(run, tmp_path, monkeypatch):
    folder, _ = run
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    scenes = SyntheticConfig(size=(32, 48), train_scenes=6, validation_scenes=1, test_scenes=1)
    config = TrainConfig(model=network().config, data=DataConfig(synthetic=scenes, crop=(32, 32)))
    (folder / "config.yaml").write_text(yaml.safe_dump(plain(asdict(config))))
    model = build(replace(network().config, classes=NYU13))
    checkpoint.save(folder / "last.safetensors", model)
    output = tmp_path / "figures"
    with pytest.raises(ValueError, match="no exchanging norm"):
        main([str(folder), "--output", str(output), "--layer", "conv1"])
    for penalty, score in ((1e-3, 0.2), (2e-3, 0.3)):
        other = tmp_path / f"λ{penalty}"
        shutil.copytree(folder / "gamma", other / "gamma")
        for name in ("last.safetensors", "config.yaml"):
            shutil.copy(folder / name, other / name)
        values = plain(asdict(replace(config, exchange=replace(config.exchange, penalty=penalty))))
        results = {"config": values, "scores": {"ensemble": {"mean_iou": score}}, "exchanged": 0.1}
        (other / "results.json").write_text(json.dumps(results))
    main([str(tmp_path / "λ0.001"), str(tmp_path / "λ0.002"), "--output", str(output), "--batches", "1"])
    drawn = {path.name for path in output.iterdir()}
    shown = ("gamma", "proportions", "proportions_of_layers", "exchanged", "theorem", "features", "sensitivity_penalty")
    pictures = {f"{name}.png" for name in shown}
    assert drawn == pictures | {"exchange.md"}
    for name in pictures:
        with Image.open(output / name) as image:
            assert min(image.size) > 100 and len(set(image.convert("L").tobytes())) > 10, name


def test_sensitivity_marks_every_value_once():
    results = [{"penalty": value, "mean_iou": value * 10, "exchanged": 0.5} for value in (0.01, 0.0, 0.03)]
    results.append({"penalty": 0.03, "mean_iou": 0.5, "exchanged": 0.7})
    axis, other = figures.sensitivity(results, "penalty").axes
    assert axis.lines[0].get_xdata().tolist() == [0.0, 0.01, 0.03]
    assert axis.lines[0].get_ydata().tolist() == pytest.approx([0, 10, 40])
    assert other.lines[0].get_ydata().tolist() == pytest.approx([50, 50, 60])


def test_sensitivity_to_one_setting_needs_the_other_to_be_the_same():
    def result(penalty, threshold, seed=0, epochs=3):
        model = {"exchange": {"threshold": threshold}}
        return {
            "config": {
                "task": "segmentation",
                "exchange": {"penalty": penalty},
                "model": model,
                "seed": seed,
                "output": f"runs/{penalty}-{threshold}-{seed}",
                "optimizer": {"batch": epochs},
            }
        }

    runs = [result(1, 1), result(2, 1, seed=1), result(2, 2, seed=1)]
    assert _differing_in("penalty", runs[:2]) == runs[:2] and not _differing_in("threshold", runs[:2])
    assert _differing_in("threshold", runs[1:]) == runs[1:] and not _differing_in("penalty", runs)
    assert not _differing_in("penalty", runs[:1])
    assert not _differing_in("penalty", [result(1, 1), result(2, 1, epochs=4)])
    written_before_that_key = [result(1, 1), result(2, 1)]
    written_before_that_key[1]["config"]["optimizer"]["momentum"] = OptimizerConfig().momentum
    assert _differing_in("penalty", written_before_that_key) == written_before_that_key


def test_proportions_are_parts_of_the_sum_of_absolute_values(run):
    folder, first = run
    history = read(folder)
    upper = figures.proportions([history], first).axes[0].patches
    rgb, depth = (patch.get_data() for patch in upper)
    assert rgb.values[0] == pytest.approx(0.001 / 0.501) and rgb.values[1] == pytest.approx(0.3 / 0.8)
    assert rgb.values[2:] == pytest.approx(0.5) and np.allclose(depth.values, 1)
    assert np.allclose(depth.baseline, rgb.values)
    layers = figures.proportions_of_layers([history, history]).axes
    assert len(layers) == 2 * len(history.gamma)


def test_a_run_that_goes_on_is_shown_up_to_its_last_weights(run):
    folder, first = run
    model = network()
    set_gamma(model.get_submodule(first), np.full(history_shape(model, first), 0.125, np.float32))
    checkpoint.save(folder / "last.safetensors", model, {"step": "25"})
    history = read(folder)
    assert history.steps.tolist() == [0, 10, 20, 25]
    assert (history.gamma[first][-1] == 0.125).all() and "after 25 steps" in explanation([history])


def history_shape(model, name):
    return 2, model.get_submodule(name).norms[0].num_features


def test_theorem_1_is_of_the_network_without_exchange():
    """A replaced channel gets no gradient: with exchange it would be certain to stay, whatever the loss says."""
    model, batch = network(), sample()
    name, layer = next((name, each) for name, each in model.named_modules() if each in set(exchange_norms(model)))
    gamma = np.full((2, layer.norms[0].num_features), 0.5, np.float32)
    gamma[0, 0] = 0.001
    set_gamma(layer, gamma)
    assert layer.replaced()[0, 0]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert theorem.attraction(model, [batch], 1e-6)[name][0, 0] < 0.5
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("policy", ["fixed", "random", "soft_gate"])
def test_theorem_1_is_the_same_whatever_was_exchanged_by(policy):
    """…as that of the same weights under Eq. 6 while no factor is below θ: there, too, nothing is exchanged."""
    model, plain_model, batch = network(policy=policy), network(), sample()
    weights = {name: tensor for name, tensor in model.state_dict().items() if ".policy." not in name}
    plain_model.load_state_dict(weights)
    assert plain_model.exchanged_share() == 0
    expected = theorem.attraction(plain_model, [batch], 1e-3)
    for name, probability in theorem.attraction(model, [batch], 1e-3).items():
        assert np.array_equal(probability, expected[name])
