# SPDX-License-Identifier: Apache-2.0
"""Training from the weights of another run: what fits is taken, what does not is named, and resuming needs no file."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from cen_model import checkpoint
from cen_model.config import NetworkConfig, SegmentationConfig, TranslationConfig
from cen_model.models import build
from cen_model.nn.network import MultimodalNetwork
from cen_model.training.initial_weights import take_weights
from cen_model.training.loop import train
from cen_model.training.run_config import TrainConfig, parse
from helpers.paths import REPOSITORY

pytestmark = pytest.mark.usefixtures("scene_cache")
SMALL = SegmentationConfig(
    classes=("a", "b", "c"), encoder="resnet18", encoder_width=0.125, decoder="light_refinenet", decoder_width=8
)


def network(config: NetworkConfig, seed: int) -> MultimodalNetwork:
    """A network of which no two tensors are equal."""
    made = build(config)
    generator = torch.Generator().manual_seed(seed)
    for tensor in made.state_dict().values():
        tensor.add_((torch.rand(tensor.shape, generator=generator) * 0.1).to(tensor.dtype))
    return made


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """A checkpoint of `SMALL`, and its tensors."""
    path = tmp_path / "stored.safetensors"
    checkpoint.save(path, network(SMALL, 1))
    return path, load_file(path)


def taken(config: NetworkConfig, path: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], str]:
    """The tensors of a network before and after it took the weights of a file, and what was said."""
    made = network(config, 2)
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    said = take_weights(made, str(path))
    return before, made.state_dict(), said


def test_the_same_network_takes_everything(stored) -> None:
    path, tensors = stored
    _, after, said = taken(SMALL, path)
    assert all(torch.equal(after[name], tensor) for name, tensor in tensors.items())
    assert said == f"initial weights: {len(after)} of {len(after)} tensors are those of {path}"


@pytest.mark.parametrize("classes", [("a", "b", "c", "d"), ("a", "c", "b")], ids=["more", "others"])
@pytest.mark.parametrize(
    ("changed", "of_classes"),
    [
        ({}, {"decoder.classifier.weight", "decoder.classifier.bias"}),
        ({"ensemble": "concat"}, {"decoder.classifier.weight", "decoder.classifier.bias", "ensemble.reduce.weight"}),
    ],
)
def test_other_classes_have_new_classifiers(tmp_path: Path, classes, changed, of_classes) -> None:
    config, path = replace(SMALL, **changed), tmp_path / "stored.safetensors"
    checkpoint.save(path, network(config, 1))
    tensors = load_file(path)
    before, after, said = taken(replace(config, classes=classes), path)
    for name in after:
        source = before if name in of_classes else tensors
        assert torch.equal(after[name], source[name]), name
    assert "new: decoder.classifier (2)" in said.splitlines()[1] and len(said.splitlines()) == 2


def test_a_subset_of_the_modalities_takes_its_own_norms(stored) -> None:
    path, tensors = stored
    before, after, said = taken(replace(SMALL, modalities=("depth",), exchange=None), path)
    norm = "encoder.stages.0.layer1.0.bn1"
    assert torch.equal(after[f"{norm}.weight"], tensors[f"{norm}.norms.1.weight"])
    assert torch.equal(after[f"{norm}.running_mean"], tensors[f"{norm}.norms.1.running_mean"])
    shared = "encoder.stages.0.layer1.0.conv1.weight"
    assert torch.equal(after[shared], tensors[shared])
    first = "encoder.stages.0.conv1.weight"  # of one channel, where color and depth together have three
    assert torch.equal(after[first], before[first])
    assert said.splitlines()[1].startswith("new: encoder.stages (1), ensemble.alpha (1); not taken: encoder.stages (")


def test_further_modalities_start_as_the_first_one(stored) -> None:
    path, tensors = stored
    before, after, _ = taken(replace(SMALL, modalities=("depth", "rgb", "normal")), path)
    norm = "encoder.stages.0.layer1.0.bn1.norms.{}.bias"
    for index, of_stored in enumerate((1, 0, 0)):
        assert torch.equal(after[norm.format(index)], tensors[norm.format(of_stored)])
    assert torch.equal(after["ensemble.alpha"], before["ensemble.alpha"])


def test_private_convolutions_start_as_the_shared_ones(stored) -> None:
    path, tensors = stored
    _, after, _ = taken(replace(SMALL, convs="private"), path)
    for index in (0, 1):
        private = after[f"decoder.levels.0.pool.convs.2.convs.{index}.weight"]
        assert torch.equal(private, tensors["decoder.levels.0.pool.convs.2.weight"])


def test_what_is_none_of_our_checkpoints_or_does_not_fit_at_all_is_refused(tmp_path: Path, stored) -> None:
    made = build(SMALL)
    (tmp_path / "foreign.pth").write_bytes(b"something else")
    save_file({"encoder.conv1.weight": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    checkpoint.save(tmp_path / "unet.safetensors", build(TranslationConfig(filters=2)))
    for name, why in (
        ("foreign.pth", "not a readable safetensors file"),
        ("foreign.safetensors", "without a cen_model configuration"),
        ("nowhere.safetensors", "no such file, nor one of the shipped"),
        ("unet.safetensors", "nothing of .*unet.safetensors fits"),
    ):
        with pytest.raises(ValueError, match=rf"^model\.initial_weights: .*{why}"):
            take_weights(made, str(tmp_path / name))


TINY = [
    *("--config", str(REPOSITORY / "config" / "train" / "synthetic.yaml")),
    *("model.encoder_width=0.125", "model.decoder_width=8", "data.crop=[24,32]", "optimizer.batch=4"),
    "data.synthetic={size: [24, 32], train_scenes: 4, validation_scenes: 2, test_scenes: 2}",
    *("schedule.epochs=1", "hardware.precision=32-true", "half_weights=false"),
]


def tiny(output: Path, *overrides: str) -> TrainConfig:
    return parse([*TINY, f"output={output}", *overrides])


def run(config: TrainConfig) -> bool:
    return train(config, Console(quiet=True))


def test_a_run_begins_with_them_and_its_checkpoints_name_none(tmp_path: Path, stored, capsys) -> None:
    path, tensors = stored
    still = ("optimizer.encoder_lr=0", "optimizer.decoder_lr=0", "optimizer.frozen_statistics=true")
    assert run(tiny(tmp_path / "run", f"model.initial_weights={path}", *still))
    after = load_file(tmp_path / "run" / "last.safetensors")
    differing = [name for name, tensor in tensors.items() if not torch.equal(after[name], tensor)]
    assert differing == ["decoder.classifier.bias", "decoder.classifier.weight"]
    assert f"tensors are those of {path}" in capsys.readouterr().out
    metadata = checkpoint.read_metadata(tmp_path / "run" / "best.safetensors")
    assert "initial_weights" not in json.loads(metadata["config"])
    assert json.loads(metadata["training"])["model"]["initial_weights"] == str(path)


def test_a_run_that_goes_on_does_not_need_them_again(tmp_path: Path, stored) -> None:
    path, _ = stored
    start = f"model.initial_weights={path}"
    assert run(tiny(tmp_path / "straight", start, "schedule.epochs=2", "schedule.kind=constant"))
    assert run(tiny(tmp_path / "resumed", start, "schedule.kind=constant"))
    path.unlink()
    assert run(tiny(tmp_path / "resumed", start, "schedule.epochs=2", "schedule.kind=constant"))
    straight, resumed = (load_file(tmp_path / name / "last.safetensors") for name in ("straight", "resumed"))
    assert all(torch.equal(resumed[name], tensor) for name, tensor in straight.items())


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (["model.initial_weights=synthetic13-cen", "model.encoder_weights=imagenet"], "cannot go together"),
        (["model.initial_weights={foreign}"], "without a cen_model configuration"),
    ],
)
def test_a_plan_refuses_them_in_one_line(tmp_path: Path, overrides: list[str], why: str) -> None:
    save_file({"conv1.weight": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    overrides = [text.format(foreign=tmp_path / "foreign.safetensors") for text in overrides]
    command = [sys.executable, "-m", "cen_model.train", *TINY, f"output={tmp_path / 'run'}", *overrides, "--dry-run"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    [line] = done.stderr.splitlines()
    assert done.returncode == 1 and line.startswith("cen train: model.initial_weights") and why in line
    assert done.stdout == ""
