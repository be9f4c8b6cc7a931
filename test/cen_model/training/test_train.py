# SPDX-License-Identifier: Apache-2.0
"""The trainer: it learns, it continues bit for bit, it stops cleanly, it refuses what it does not understand."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from filelock import FileLock
from rich.console import Console
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torchvision.models import ResNet18_Weights

from cen_model import checkpoint
from cen_model.config import SegmentationConfig
from cen_model.evaluation.dataset_scores import measure_scores
from cen_model.models import build
from cen_model.nn.exchange import exchange_norms
from cen_model.training.loop import open_split, train
from cen_model.training.optimizer import build_optimizer, initialize_gamma, learning_rate_factor
from cen_model.training.run_config import ExchangeTrainingConfig, OptimizerConfig, ScheduleConfig, TrainConfig, parse
from cen_model.training.run_folder import Run
from helpers.paths import REPOSITORY

pytestmark = pytest.mark.usefixtures("scene_cache")
SYNTHETIC = REPOSITORY / "config" / "train" / "synthetic.yaml"
TINY = [
    "model.encoder_width=0.125",
    "model.decoder_width=8",
    "data.synthetic={size: [48, 64], train_scenes: 8, validation_scenes: 2, test_scenes: 3}",
    "data.crop=[40,48]",
    "optimizer.batch=4",
    "schedule.kind=halving",
    "schedule.every=1",
    "schedule.warmup_steps=2",
    "hardware.precision=32-true",
    "half_weights=false",
]


def tiny(output: Path, *overrides: str) -> TrainConfig:
    return parse(["--config", str(SYNTHETIC), *TINY, f"output={output}", *overrides])


def run(config: TrainConfig) -> bool:
    return train(config, Console(quiet=True))


def state(output: Path) -> dict:
    return torch.load(output / "last.state.pt", weights_only=True)


def assert_same_run(left: Path, right: Path) -> None:
    a, b = state(left), state(right)
    assert a["progress"] | {"seconds": 0} == b["progress"] | {"seconds": 0}
    for name, tensor in a["modules"]["network"].items():
        assert torch.equal(tensor, b["modules"]["network"][name]), name
    first, second = (each["optimizers"]["network"]["state"] for each in (a, b))
    for index, slots in first.items():
        assert torch.equal(slots["momentum_buffer"], second[index]["momentum_buffer"])


def events(output: Path) -> EventAccumulator:
    return EventAccumulator(str(output / "tensorboard")).Reload()


def test_it_learns_exchanges_and_writes_measured_checkpoints(tmp_path: Path) -> None:
    longer = ("schedule.epochs=40", "schedule.every=100", "model.decoder_width=32", "validate_every=10")
    config = tiny(tmp_path, *longer, "exchange.penalty=0.02")
    assert run(config)
    log = events(tmp_path)
    losses = [event.value for event in log.Scalars("loss/rgb")]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    validations = {event.step: event.value for event in log.Scalars("mIoU/ensemble")}
    assert list(validations) == [20, 40, 60, 80]
    assert 0 < log.Scalars("exchanged")[-1].value <= 1
    assert any(tag.startswith("exchanged/encoder.stages.0.layer1") for tag in log.Tags()["scalars"])

    metadata = checkpoint.read_metadata(tmp_path / "best.safetensors")
    assert int(metadata["epoch"]) * 2 == max(validations, key=validations.get)
    assert metadata["measured_on"] == "synthetic: 3 test frames"
    for output in ("rgb", "depth", "ensemble"):
        ious = [value for value in json.loads(metadata["class_iou"])[output].values() if value is not None]
        assert float(metadata[f"mean_iou.{output}"]) == pytest.approx(sum(ious) / len(ious), abs=1e-3)
    assert json.loads(metadata["training"])["schedule"]["epochs"] == 40
    assert checkpoint.load(tmp_path / "best.safetensors").config == config.model
    last = checkpoint.load(tmp_path / "last.safetensors")
    for name, tensor in state(tmp_path)["modules"]["network"].items():
        assert torch.equal(last.state_dict()[name], tensor)


# One of each kind that trains differently.
FAMILY = {
    "cen": (),
    "uni-modal": ("model.modalities=[depth]", "model.exchange=null"),
    "pspnet": ("model.decoder=pspnet",),
    "mobilenet": ("model.encoder=mobilenet_v3_small",),
    "random exchange": ("model.exchange.policy=random",),
    "merged": ("model.exchange=null", "model.fusion={method: concat, streams: merged}", "model.convs=private"),
    "aligned": ("model.exchange=null", "model.fusion={method: align}"),
    "cbn": ("model.exchange=null", "model.fusion={method: cbn}"),
    "private scale": ("model.exchange=null", "model.norms=private_affine"),
    "concat ensemble": ("model.ensemble=concat",),
}


@pytest.mark.parametrize("overrides", FAMILY.values(), ids=FAMILY)
def test_resuming_equals_never_stopping(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    assert run(tiny(straight, *overrides, "schedule.epochs=4"))
    assert run(tiny(resumed, *overrides, "schedule.epochs=2"))
    finished = tiny(resumed, *overrides, "schedule.epochs=4", "data.workers=1")
    assert run(finished)
    assert_same_run(straight, resumed)
    outputs = json.loads(checkpoint.read_metadata(resumed / "best.safetensors")["class_iou"])
    assert list(outputs) == [*finished.model.streams, "ensemble"]


def test_a_wish_to_stop_during_the_last_validation_is_heeded(tmp_path: Path, monkeypatch) -> None:
    """Measuring on the test frames may take as long as an epoch."""

    def interrupted(*args):
        signal.raise_signal(signal.SIGTERM)
        return validate(*args)

    config, validate = tiny(tmp_path, "schedule.epochs=1"), Run.validate
    with monkeypatch.context() as patch:
        patch.setattr(Run, "validate", interrupted)
        assert not run(config)
    assert state(tmp_path)["progress"]["step"] == 2
    assert not (tmp_path / "results.json").exists()
    assert run(config)
    assert (tmp_path / "results.json").exists()


def test_a_run_of_version_0_1_continues(tmp_path: Path) -> None:
    """Its state has the keys of that version: optimisers, and in the configuration optimiser and penalised."""
    run(tiny(tmp_path, "schedule.epochs=1"))
    stored = state(tmp_path)
    stored["optimisers"] = stored.pop("optimizers")
    stored["config"]["optimiser"] = stored["config"].pop("optimizer")
    exchange = stored["config"]["model"]["exchange"]
    exchange["penalised"] = exchange.pop("penalized")
    torch.save(stored, tmp_path / "last.state.pt")
    assert run(tiny(tmp_path, "schedule.epochs=2"))
    assert state(tmp_path)["progress"]["step"] == 2 * stored["progress"]["step"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.classes=[wall, floor]", r"13 classes \(bed, .* got 2 other ones"),
        ("model.modalities=[rgb, curvature]", "has no curvature: it has rgb, depth"),
        ("optimizer.accumulate=3", "4 samples cannot be shared equally by 1 processes and optimizer.accumulate=3"),
    ],
)
def test_what_the_scenes_do_not_have_is_refused(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(tiny(tmp_path, override))


def test_a_configuration_that_cannot_be_is_explained_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cen_model.train", "model.modalities=[rgb]", f"output={tmp_path}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "set exchange to null" in " ".join(f"{done.stdout}{done.stderr}".split())


def test_ctrl_c_leaves_a_run_that_continues(tmp_path: Path) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    scenes = "data.synthetic={size: [48, 64], train_scenes: 12, validation_scenes: 2, test_scenes: 3}"
    overrides = (scenes, "validate_every=1000", "schedule.every=1000")
    command = [sys.executable, "-m", "cen_model.train", "--config", str(SYNTHETIC), *TINY, *overrides]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    endless = [*command, "schedule.epochs=1000", f"output={stopped}"]
    process = subprocess.Popen(endless, cwd=REPOSITORY, stdout=subprocess.PIPE, env=environment)
    wait_for(stopped / "last.state.pt", process)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=180)
    assert process.returncode == 130
    assert b"the same command continues" in printed
    epochs = f"schedule.epochs={state(stopped)['progress']['step'] // 3 + 2}"

    assert run(tiny(stopped, *overrides, epochs))
    assert run(tiny(straight, *overrides, epochs))
    assert_same_run(straight, stopped)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists():
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"the trainer ended with status {process.returncode} before it wrote {path}")


def test_a_finished_folder_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "last.state.pt").touch()
    with pytest.raises(ValueError, match=r"cannot be read .* move it away to begin anew"):
        run(tiny(tmp_path))
    with pytest.raises(ValueError, match="holds a run already; continue it with resume=true"):
        run(tiny(tmp_path, "resume=false"))


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:100])])
def test_a_network_that_was_lost_comes_again_of_its_state(tmp_path: Path, lose: Callable[[Path], object]) -> None:
    config = tiny(tmp_path, "schedule.epochs=1")
    assert run(config)
    # Copies: the tensors that were loaded are the file itself.
    before = {name: tensor.clone() for name, tensor in load_file(tmp_path / "last.safetensors").items()}
    lose(tmp_path / "last.safetensors")
    assert run(config)
    again = load_file(tmp_path / "last.safetensors")
    assert before.keys() == again.keys() and all(torch.equal(again[name], before[name]) for name in before)


def test_resuming_with_another_configuration_is_refused(tmp_path: Path) -> None:
    assert run(tiny(tmp_path, "schedule.epochs=1"))
    with pytest.raises(ValueError, match=r"optimizer\.encoder_lr was .* is 0\.5; repeat its overrides"):
        run(tiny(tmp_path, "schedule.epochs=2", "optimizer.encoder_lr=0.5"))


@pytest.mark.parametrize(
    ("line", "named"),
    [("schedule: {epoks: 3}", "epoks"), ("lamda: 3", "lamda"), ("data: {crop: wide}", "data.crop")],
)
def test_unknown_keys_and_wrong_values_are_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, named: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(line + "\n")
    with pytest.raises(SystemExit):
        parse(["--config", str(file)])
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["optimizer.accumulate=0"], r"optimizer\.accumulate: expected at least 1, got 0"),
        (["optimizer.betas=[0.9,1]"], r"optimizer\.betas: expected at least 0 and less than 1, got \(0\.9, 1\.0\)"),
        (["optimizer.clip=0"], r"optimizer\.clip: expected more than 0, got 0"),
        (["optimizer.encoder_lr=.nan"], r"optimizer\.encoder_lr: expected at least 0, got nan"),
        (["optimizer.clip=.inf"], r"optimizer\.clip: expected more than 0, got inf"),
        (["exchange.penalty=-1"], r"exchange\.penalty: expected at least 0, got -1"),
        (["schedule.every=0"], r"schedule\.every: expected at least 1, got 0"),
        (["hardware.devices=0"], r"hardware\.devices: expected at least 1, got 0"),
        (["data.workers=-1"], r"data\.workers: expected at least 0, got -1"),
        (["data.crop=[0,48]"], r"data\.crop: expected at least 1, got \(0, 48\)"),
        (["data.scale=[2,1]"], r"data\.scale: expected the smaller factor first, got \(2\.0, 1\.0\)"),
        (["data.mirror=.nan"], r"data\.mirror: expected 0 to 1, got nan"),
        (["validate_every=-1"], "validate_every: expected at least 0, got -1"),
        (["ema=1.5"], "ema: expected at least 0 and less than 1, got 1.5"),
        (["label_smoothing=2"], "label_smoothing: expected 0 to 1, got 2"),
        (["task=translation", "save_every=-2"], "save_every: expected at least 0, got -2"),
        (["hardware={recompute: true, compile: true}"], "recompute=true and hardware.compile=true cannot go together"),
        (["task=translation", "hardware.recompute=true"], "recompute: it is for segmentation alone"),
        (["task=translation", "optimizer.frozen_statistics=true"], "frozen_statistics: it is for segmentation alone"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_numbers_out_of_range_and_settings_without_effect_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(arguments)


def test_overlapping_seeds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((SystemExit, ValueError)) as refusal:
        parse(["data.synthetic.train_scenes=2000", "data.synthetic.validation_seed=1999"])
    assert "overlap" in f"{refusal.value}{capsys.readouterr().err}"


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "lr=0.1" / "config.yaml"
    file.parent.mkdir()
    file.write_text("model: {modalities: [rgb, depth], encoder: resnet50}\nschedule: {epochs: 3}\n")
    config = parse(["--config", str(file), "model.modalities=[rgb]", "model.exchange=null", "--seed=4"])
    assert config.model == SegmentationConfig(modalities=("rgb",), encoder="resnet50", exchange=None)
    assert (config.schedule.epochs, config.seed) == (3, 4)


def small_model() -> torch.nn.Module:
    return build(SegmentationConfig(classes=("a", "b"), encoder="resnet18", encoder_width=0.125, decoder_width=8))


def test_parameter_groups_follow_the_paper() -> None:
    model = small_model()
    initialize_gamma(model, 0.3)
    optimizer = build_optimizer(model, OptimizerConfig(weight_decay=1e-5), ExchangeTrainingConfig(lr_factor=10))
    settings = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert settings.keys() == {id(parameter) for parameter in model.parameters()}
    assert settings[id(model.ensemble.alpha)] == settings[id(model.decoder.classifier.weight)] == (3e-3, 1e-5)
    assert settings[id(model.encoder.stages[0].conv1.weight)] == (5e-4, 1e-5)
    for layer in exchange_norms(model):
        for norm in layer.norms:
            assert norm.weight.unique().tolist() == [pytest.approx(0.3)]
            assert settings[id(norm.weight)] == (pytest.approx(5e-3), 0.0)
            assert settings[id(norm.bias)] == (5e-4, 0.0)


def test_the_penalty_alone_moves_gamma_by_lr_lambda_over_one_minus_momentum() -> None:
    model = small_model()
    rates = OptimizerConfig(encoder_lr=0.01, momentum=0.9)
    exchange = ExchangeTrainingConfig(penalty=0.02)
    optimizer = build_optimizer(model, rates, exchange)
    steps = 200
    for _ in range(steps):
        (exchange.penalty * model.sparsity()).backward()
        optimizer.step()
        optimizer.zero_grad()
    layer = next(exchange_norms(model))
    gamma = layer.scaling_factors().detach()
    per_step = 0.01 * 0.02 / (1 - 0.9)
    moved = per_step * (steps - 9 * (1 - 0.9**steps))  # momentum needs about nine steps to build up
    assert gamma[layer.penalized_MC].tolist() == [pytest.approx(1 - moved, rel=1e-4)] * layer.penalized_MC.sum()
    assert (gamma[~layer.penalized_MC] == 1).all()


def test_schedules() -> None:
    halving = ScheduleConfig(kind="halving", epochs=6, every=2)
    assert [learning_rate_factor(step, 5, halving) for step in (0, 9, 10, 19, 20, 29)] == [1, 1, 0.5, 0.5, 0.25, 0.25]
    cosine = ScheduleConfig(kind="cosine", epochs=6, warmup_steps=3)
    factors = [learning_rate_factor(step, 5, cosine) for step in range(30)]
    assert factors[0] == pytest.approx(1 / 3)
    assert factors[15] == pytest.approx(0.5)
    assert factors[10] == pytest.approx(0.5 * (1 + math.cos(math.pi / 3)))
    assert 0 < factors[29] < 0.01
    steps = ScheduleConfig(kind="steps", every=2, encoder_factors=(1, 0.5, 0.2), decoder_factors=(1, 0.5, 0.25))
    assert [learning_rate_factor(step, 5, steps) for step in (9, 10, 20, 90)] == [1, 0.5, 0.2, 0.2]
    assert learning_rate_factor(20, 5, steps, "decoder") == 0.25
    assert factors[2:] == sorted(factors[2:], reverse=True)


def test_frozen_statistics_do_not_move(tmp_path: Path) -> None:
    assert run(tiny(tmp_path, "schedule.epochs=1", "optimizer.frozen_statistics=true"))
    stored = state(tmp_path)["modules"]["network"]
    means = [tensor for name, tensor in stored.items() if name.endswith("running_mean")]
    assert means
    assert all((mean == 0).all() for mean in means)


def test_the_plan_is_printed_and_nothing_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing rendered, downloaded, started or written."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for place, name in ((ResNet18_Weights, "get_state_dict"), (subprocess, "Popen")):
        monkeypatch.setattr(place, name, lambda *_, name=name, **__: pytest.fail(name))
    console = Console(record=True, width=200)
    costly = ("model.encoder_width=1", "model.encoder_weights=imagenet", "hardware.devices=2")
    assert not train(tiny(tmp_path / "run", *costly, "dry_run=true"), console)
    said = console.export_text()
    assert "8 training frames, 2 steps an epoch, 18 epochs, 36 steps" in said
    assert "encoder_weights: imagenet" in said and "network: decoder" in said
    assert not list(tmp_path.iterdir())


def test_without_validations_in_between_there_is_one_at_the_end(tmp_path: Path) -> None:
    assert run(tiny(tmp_path, "schedule.epochs=2", "validate_every=0"))
    assert [event.step for event in events(tmp_path).Scalars("mIoU/ensemble")] == [4]
    assert (tmp_path / "best.safetensors").is_file()


def test_where_validation_frames_are_trained_on_the_last_weights_are_the_best(tmp_path: Path) -> None:
    scenes = "data.synthetic={size: [48, 64], train_scenes: 4, validation_scenes: 4, test_scenes: 3}"
    config = tiny(tmp_path, scenes, "schedule.epochs=4", "optimizer.encoder_lr=0.5", "data.include_validation=true")
    assert run(config)
    assert state(tmp_path)["progress"]["step"] == 8, "two batches of four an epoch"
    assert [event.step for event in events(tmp_path).Scalars("mIoU/ensemble")] == [2, 4, 6, 8]
    best, last = (load_file(tmp_path / f"{name}.safetensors") for name in ("best", "last"))
    assert all(torch.equal(best[name], tensor) for name, tensor in last.items())


@pytest.mark.parametrize(("flags", "warned"), [("avx2 avx512_bf16", False), ("avx2", True)])
def test_a_processor_that_crawls_in_half_precision_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, warned: bool
) -> None:
    monkeypatch.setattr("cen_model.utils.devices.describe_cpu", lambda: {"cpu": "some", "instructions": flags})
    console = Console(record=True, width=200, file=io.StringIO())
    train(tiny(tmp_path, "hardware.precision=bf16-mixed", "dry_run=true"), console)
    assert ("32-true is much faster" in console.export_text()) is warned


def test_where_another_run_is_at_work_none_is_begun(tmp_path: Path) -> None:
    with FileLock(tmp_path / ".lock"), pytest.raises(ValueError, match="another run is at work in"):
        run(tiny(tmp_path))
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == [".lock"]


def test_factors_and_shares_by_layer_are_noted_at_every_epoch(tmp_path: Path) -> None:
    assert run(tiny(tmp_path, "schedule.epochs=3", "validate_every=0"))
    assert [file.stem for file in sorted((tmp_path / "gamma").iterdir())] == [f"{step:08d}" for step in (0, 2, 4, 6)]
    log = events(tmp_path)
    layer = next(tag for tag in log.Tags()["scalars"] if tag.startswith("exchanged/"))
    assert [event.step for event in log.Scalars(layer)] == [2, 4, 6]


def test_what_a_run_leaves(tmp_path: Path) -> None:
    config = tiny(tmp_path, "schedule.epochs=2", "ema=0.5", "seed=7")
    assert run(config)
    results = json.loads((tmp_path / "results.json").read_text())
    assert (results["steps"], results["seed"], results["frames"]) == (4, 7, 3)
    network = checkpoint.load(tmp_path / "last.safetensors")
    assert results["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    scores = measure_scores(network, open_split(config, "test"), config.data)
    for name, each in scores.items():
        assert results["scores"][name]["mean_iou"] == pytest.approx(each.mean_iou)
    assert [file.stem for file in sorted((tmp_path / "gamma").iterdir())] == ["00000000", "00000002", "00000004"]
    stored = load_file(tmp_path / "gamma" / "00000004.safetensors")
    for name, gamma in stored.items():
        assert torch.equal(gamma, network.get_submodule(name).scaling_factors())
    with (tmp_path / "config.yaml").open() as file:
        assert yaml.safe_load(file)["ema"] == 0.5
    assert {"lr/network/0", "loss/penalty", "mIoU/depth"} <= set(events(tmp_path).Tags()["scalars"])
    assert events(tmp_path).Tags()["images"] == ["frames/0", "frames/1"]


def test_the_average_is_the_one_of_its_formula(tmp_path: Path) -> None:
    """The first weights as they are, then a half of what was and a half of what came, step by step."""
    weight, expected = "decoder.classifier.weight", None
    for steps in (1, 2, 3):
        output = tmp_path / str(steps)
        scenes = "data.synthetic={size: [48, 64], train_scenes: 4, validation_scenes: 2, test_scenes: 3}"
        assert run(
            tiny(output, scenes, f"schedule.epochs={steps}", "schedule.every=100", "ema=0.5", "validate_every=9")
        )
        now = state(output)["modules"]["network"][weight]
        expected = now if expected is None else (expected + now) / 2
        assert torch.allclose(state(output)["average"][f"module.{weight}"], expected, atol=1e-7)


def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path: Path) -> None:
    frozen = ("schedule.epochs=2", "optimizer.frozen_statistics=true")
    assert run(tiny(tmp_path / "whole", *frozen))
    assert run(tiny(tmp_path / "parts", *frozen, "optimizer.accumulate=2"))
    whole, parts = (state(tmp_path / name)["modules"]["network"] for name in ("whole", "parts"))
    for name, tensor in whole.items():
        assert torch.allclose(tensor, parts[name], atol=1e-5), name


def test_pspnet_on_single_samples_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'pspnet' cannot be trained on one sample at a time"):
        run(tiny(tmp_path, "model.decoder=pspnet", "optimizer.batch=1"))


def test_more_steps_than_the_schedule_has_are_refused(tmp_path: Path) -> None:
    assert run(tiny(tmp_path, "schedule.epochs=2"))
    with pytest.raises(ValueError, match="holds 4 steps already, more than 2"):
        run(tiny(tmp_path, "schedule.epochs=1"))
