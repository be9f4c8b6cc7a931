# SPDX-License-Identifier: Apache-2.0
"""Scores of translated images, against NumPy and against distances of features computed here."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import linalg
from torch import nn

from cen_model import checkpoint
from cen_model.cli.evaluate import main
from cen_model.config import TranslationConfig
from cen_model.data.data_config import DataConfig
from cen_model.evaluation import dataset_evaluation as run_module
from cen_model.evaluation import examples
from cen_model.evaluation.dataset_scores import measure_scores
from cen_model.evaluation.image_distances import Generator, TranslationOptions, measure_images
from cen_model.evaluation.results import RESULTS
from cen_model.models import build
from cen_model.translator import Translator

NETWORK = TranslationConfig(modalities=("shade", "texture"), target="rgb", filters=4)
DATA = DataConfig(evaluation_batch=2)
OUTPUTS = ("shade", "texture", "ensemble")


class Frames:
    """Random images of the network's own size."""

    modalities = ("shade", "texture", "rgb")
    labels = None

    def __init__(self, blank=()):
        self._blank = blank

    def __len__(self):
        return 5

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        images = {"shade": (256, 256), "texture": (256, 256), "rgb": (256, 256, 3)}
        frame = {name: rng.integers(0, 256, size, np.uint8) for name, size in images.items()}
        return frame | {name: np.full((256, 256), 128, np.uint8) for name in self._blank}

    def describe(self, index):
        return f"view-{index}.png"

    def intrinsics(self, index):
        return None


class Pooled(nn.Module):
    """Features of an image that can be computed by hand: means of its four quarters, by channel."""

    def forward(self, images):
        assert images.dtype == torch.uint8 and images.shape[1] == 3
        return nn.functional.adaptive_avg_pool2d(images.float(), 2).flatten(1)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    network = build(NETWORK)
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data *= 5  # images that differ
    return network.eval()


@pytest.fixture(scope="module")
def translated(model):
    """What the translator, the network's user, makes of every frame: uint8 (N, 256, 256, 3) by output."""
    translator = Translator(model, "cpu")
    made = [translator.translate(Frames()[index]) for index in range(5)]
    images = {name: np.stack([each.by_modality[name] for each in made]) for name in OUTPUTS[:2]}
    return {**images, "ensemble": np.stack([each.image for each in made])}


def test_errors_are_those_of_the_translators_images(model, translated):
    scores = measure_scores(model, Frames(), DATA)
    real = np.stack([Frames()[index]["rgb"] for index in range(5)]) / 127.5 - 1
    assert tuple(scores) == OUTPUTS
    for name, images in translated.items():
        difference = images / 127.5 - 1 - real
        assert scores[name].mae == pytest.approx(np.abs(difference).mean(), abs=1e-3)  # theirs are rounded to bytes
        assert scores[name].mse == pytest.approx((difference**2).mean(), abs=2e-3)
        assert scores[name].rmse == pytest.approx(math.sqrt(scores[name].mse))
        assert scores[name].fid is None and scores[name].kid is None
    assert len({each.mae for each in scores.values()}) == 3


def test_where_depth_has_holes_there_is_no_error():
    class Rooms(Frames):
        modalities = ("shade", "texture", "depth")

        def __getitem__(self, index):
            depth = np.random.default_rng(index).integers(500, 5000, (256, 256)).astype(np.uint16)
            depth[: 40 * index] = 0
            return super().__getitem__(index) | {"depth": depth}

    network = build(replace(NETWORK, target="depth")).eval()
    scores = measure_scores(network, Rooms(), DATA)["ensemble"]
    translator, errors = Translator(network, "cpu"), []
    for index in range(5):
        frame = Rooms()[index]
        made, real = translator.translate(frame).image[..., 0] / 127.5 - 1, frame["depth"] / 1000
        errors.append((made - (2 * np.log1p(512 * real) / 11.1 - 1))[real > 0])
    assert scores.mae == pytest.approx(np.mean([np.abs(each).mean() for each in errors]), abs=1e-3)
    assert scores.mse == pytest.approx(np.mean([np.square(each).mean() for each in errors]), abs=2e-3)


def test_fid_is_between_features_of_real_and_made_images(model, translated):
    generator = Generator(model, Frames(), DATA, TranslationOptions())
    scores = measure_images(generator, Pooled())
    real = np.stack([Frames()[index]["rgb"] for index in range(5)])
    for name, images in translated.items():
        (mean_a, cov_a), (mean_b, cov_b) = (
            (x.mean(0), np.cov(x, rowvar=False)) for x in (quarters(real), quarters(images))
        )
        root = np.trace(linalg.sqrtm(cov_a @ cov_b + 1e-9 * np.eye(12)).real)
        fid = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * root
        assert scores[name].fid == pytest.approx(fid, rel=1e-3)
        assert math.isfinite(scores[name].kid)


def quarters(images):
    """(N, 12): means of the quarters of uint8 (N, 256, 256, 3), channel by channel."""
    parts = images.reshape(len(images), 2, 128, 2, 128, 3).mean((2, 4), dtype=np.float64)
    return parts.transpose(0, 3, 1, 2).reshape(len(images), -1)


def test_statistics_and_dropout_are_as_asked_for(model):
    def errors(**options):
        generator = Generator(model, Frames(), DATA, TranslationOptions(**options))
        return {name: each.mae for name, each in measure_images(generator).items()}

    own = errors()
    assert own == errors()
    torch.manual_seed(0)
    dropped = errors(dropout=True)
    assert dropped != own and dropped != errors(dropout=True)
    assert errors(running_statistics=True) != own
    assert errors() == own  # nothing is left behind


def test_a_model_in_training_is_measured_in_evaluation(model):
    expected = measure_scores(model, Frames(), DATA)
    statistics = [x.clone() for x in model.buffers()]
    assert measure_scores(model.train(), Frames(), DATA) == expected
    assert all(map(torch.equal, statistics, model.buffers()))


def test_a_missing_modality_is_mid_gray(model):
    without = measure_scores(model, Frames(), DATA, drop=("texture",))
    assert without == measure_scores(model, Frames(blank=("texture",)), DATA)
    assert without != measure_scores(model, Frames(), DATA)


def test_images_are_compared_at_the_size_asked_for(model):
    class Small(Frames):
        def __getitem__(self, index):
            return {name: image[:96, :128] for name, image in super().__getitem__(index).items()}

    paper = measure_scores(model, Small(), DATA)
    assert paper == measure_scores(model, Small(), replace(DATA, size=(256, 256)))
    assert paper != measure_scores(model, Small(), replace(DATA, size=(256, 512)))


def test_the_command(model, tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(run_module, "open_dataset", lambda *arguments, render: asked.append(arguments) or Frames())
    monkeypatch.setattr(run_module, "inception", lambda path: Pooled())
    checkpoint.save(tmp_path / "generator.safetensors", model)
    main([str(tmp_path / "generator.safetensors"), "--dataset", "taskonomy", "--output", str(tmp_path)])
    said, results = capsys.readouterr().out, json.loads((tmp_path / RESULTS).read_text())
    expected = measure_images(Generator(model, Frames(), DATA, TranslationOptions()), Pooled())
    for name, scores in expected.items():
        assert results["scores"][name]["mae"] == pytest.approx(scores.mae, rel=1e-6)
        assert results["scores"][name]["fid"] == pytest.approx(scores.fid, rel=1e-6)
        assert f"{scores.mae:.4f}" in said and f"{scores.rmse:.4f}" in said
    assert asked[0][2] == ("shade", "texture", "rgb")
    assert np.mean([frame["mae"] for frame in results["frames"]]) == pytest.approx(expected["ensemble"].mae)
    page = (tmp_path / "report.html").read_text()
    assert page.count("<img") == 5 * 7  # two inputs, the real image, three outputs, the error
    assert "<th>FID</th>" in page
    columns, rows = (side // examples.PANEL for side in Image.open(tmp_path / "examples.jpg").size)
    assert (columns, rows) == (7, 5)

    main([str(tmp_path / "generator.safetensors"), "--fid", "false", "--output", str(tmp_path)])
    assert json.loads((tmp_path / RESULTS).read_text())["scores"]["ensemble"]["fid"] is None
    assert "<th>FID</th>" not in (tmp_path / "report.html").read_text()
