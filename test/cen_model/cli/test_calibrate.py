# SPDX-License-Identifier: Apache-2.0
"""`cen calibrate` fits the one temperature at which a network is right as often as it says, and keeps all else."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open

from cen_model import checkpoint
from cen_model.classes import LabelSet
from cen_model.cli import calibrate
from cen_model.config import SegmentationConfig, TranslationConfig
from cen_model.evaluation.inference_modes import InferenceConfig, predict
from cen_model.evaluation.temperature import fit_temperature
from cen_model.models import build
from cen_model.predictor import Deployment, Predictor

CLASSES = ("wall", "floor", "chair", "lamp")


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_is_the_likeliest(temperature):
    """Truth is drawn with the probabilities of a network whose logits are then scaled."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(20_000, 5, generator=generator)
    truth = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    fitted = fit_temperature(logits * temperature, truth)
    assert fitted == pytest.approx(temperature, rel=0.03)
    likelihood = [F.cross_entropy(logits * temperature / (fitted * factor), truth) for factor in (0.99, 1, 1.01)]
    assert min(likelihood) == likelihood[1]


class Frames:
    """Frames whose truth is drawn with the probabilities of a network at the temperature 0.25."""

    modalities = ("rgb", "depth")
    labels = LabelSet.of(CLASSES)

    def __init__(self, file):
        self._model = checkpoint.load(file)

    def __len__(self):
        return 3

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        rgb = np.kron(rng.integers(0, 256, (6, 8, 3), np.uint8), np.ones((16, 16, 1), np.uint8))
        depth = rng.integers(300, 5000, (96, 128)).astype(np.uint16)
        images = {
            "rgb": torch.from_numpy(rgb).permute(2, 0, 1)[None],
            "depth": torch.from_numpy(depth / 1000)[None, None],
        }
        logits = predict(self._model, images, depth.shape, InferenceConfig())["ensemble"][0]
        draws = torch.distributions.Gumbel(0, 1).sample(logits.shape)
        return {"rgb": rgb, "depth": depth, "label": (logits / 0.25 + draws).argmax(0).byte().numpy()}

    def describe(self, index):
        return f"frame-{index}.png"

    def intrinsics(self, index):
        return None


@pytest.fixture
def file(tmp_path):
    """A random network, in a file that does not know of temperatures yet."""
    torch.manual_seed(0)
    config = SegmentationConfig(
        classes=CLASSES, encoder="resnet18", encoder_width=0.25, decoder="light_refinenet", decoder_width=16
    )
    path = tmp_path / "mine.safetensors"
    checkpoint.save(path, build(config), {"training": "as it was"}, half=True)
    tensors, metadata = stored(path)
    config = json.loads(metadata["config"])
    del config["temperature"]
    path.write_bytes(checkpoint.serialize(tensors, {**metadata, "config": json.dumps(config)}))
    return path


def stored(path):
    with safe_open(path, framework="pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata()  # noqa: SIM118


def test_confidence_becomes_the_share_of_right_labels(file, monkeypatch, capsys):
    torch.manual_seed(0)
    frames = Frames(file)
    before = Predictor.load(file, device="cpu", deployment=Deployment(confidence=True))
    monkeypatch.setattr(calibrate, "open_dataset", lambda *_: frames)
    tensors, metadata = stored(file)
    calibrate.main([str(file)])

    after, metadata_after = stored(file)
    assert all(
        torch.equal(after[name], tensor) and after[name].dtype == tensor.dtype for name, tensor in tensors.items()
    )
    config = json.loads(metadata["config"])
    fitted = json.loads(metadata_after["config"]).pop("temperature")
    assert json.loads(metadata_after["config"]) == config | {"temperature": fitted}
    assert {**metadata_after, "config": ""} == {**metadata, "config": ""}

    said = capsys.readouterr().out
    old, (new, error) = re.findall(r"temperature (\S+): .*\(ECE\) (\S+) %", said)
    assert old[0] == "1" and float(old[1]) > 10 and float(error) < 5
    assert float(new) == fitted == pytest.approx(0.25, rel=0.1)

    calibrated = Predictor.load(file, device="cpu", deployment=Deployment(confidence=True))
    answers = [
        [each.predict(frame["rgb"], frame["depth"]) for each in (before, calibrated)]
        for frame in map(frames.__getitem__, range(3))
    ]
    assert all((plain.labels == tempered.labels).mean() > 0.999 for plain, tempered in answers)
    right = np.mean([(tempered.labels == frames[index]["label"]).mean() for index, (_, tempered) in enumerate(answers)])
    assert np.mean([tempered.confidence for _, tempered in answers]) / 255 == pytest.approx(right, abs=0.02)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="synthetic13-cen: no such file; expected a checkpoint"):
        calibrate.main(["synthetic13-cen"])
    checkpoint.save(tmp_path / "generator.safetensors", build(TranslationConfig(filters=4)))
    with pytest.raises(ValueError, match="expected a segmentation network, got one for translation"):
        calibrate.main([str(tmp_path / "generator.safetensors")])
