# SPDX-License-Identifier: Apache-2.0
"""Evaluation by measure_scores() and by command, against slow counts, one frame at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_jaccard_index,
)

from cen_model import checkpoint
from cen_model.classes import NYU13, VOID, LabelSet
from cen_model.cli.evaluate import main
from cen_model.config import SegmentationConfig
from cen_model.data.data_config import DataConfig
from cen_model.deploy.engine import Engine
from cen_model.evaluation import dataset_evaluation as run_module
from cen_model.evaluation.dataset_scores import measure_scores
from cen_model.evaluation.frame_subset import Chosen
from cen_model.evaluation.inference_modes import InferenceConfig
from cen_model.evaluation.results import RESULTS
from cen_model.modalities import normalize
from cen_model.models import build
from cen_model.utils.ranks import Ranks
from helpers.paths import REPOSITORY

CLASSES = ("wall", "floor", "chair", "lamp", "cat")
NETWORK = SegmentationConfig(
    classes=CLASSES, encoder="resnet18", encoder_width=0.25, decoder="light_refinenet", decoder_width=16
)
DATA = DataConfig(evaluation_batch=3)


class Frames:
    """Random frames, the last two larger than the others; "cat" is in no truth."""

    modalities = ("rgb", "depth")
    labels = LabelSet.of(CLASSES)

    def __init__(self, count=7, blank=()):
        self._count, self._blank = count, blank

    def __len__(self):
        return self._count

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        size = (40, 56) if index >= self._count - 2 else (32, 48)
        coarse = rng.integers(0, 256, (4, 6, 3), np.uint8)
        frame = {
            "rgb": np.kron(coarse, np.ones((16, 16, 1), np.uint8))[: size[0], : size[1]],
            "depth": rng.integers(300, 5000, size).astype(np.uint16),
            "label": rng.choice([0, 1, 2, 3, VOID], size).astype(np.uint8),
        }
        if "depth" in self._blank:
            frame["depth"][:] = 0
        if "rgb" in self._blank:
            frame["rgb"][:] = (124, 116, 104)
        return frame

    def describe(self, index):
        return f"frame-{index}.png"

    def intrinsics(self, index):
        return None


@pytest.fixture(scope="module")
def model():
    """A random network whose labels differ from pixel to pixel."""
    torch.manual_seed(0)
    network = build(NETWORK)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.2, 2)
            module.weight.data.uniform_(0, 1.5)
    return network.eval()


@pytest.fixture(scope="module")
def weights(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    checkpoint.save(path, model)
    return str(path)


@pytest.fixture
def opened(monkeypatch):
    """The command finds random frames where it asks for a dataset."""
    asked = []

    def open_dataset(data, split, modalities, render):
        asked.append((data, split, tuple(modalities)))
        return Frames()

    monkeypatch.setattr(run_module, "open_dataset", open_dataset)
    return asked


def labeled(network, frame, size=None):
    """Labels (H, W) of every output of one frame, resized as stated."""
    depth = torch.from_numpy(frame["depth"].astype(np.float32) / 1000)[None, None]
    images = {"rgb": torch.from_numpy(frame["rgb"]).permute(2, 0, 1)[None].float(), "depth": depth}
    if size:
        images["rgb"] = F.interpolate(images["rgb"], size, mode="bilinear", antialias=True)
        images["depth"] = F.interpolate(depth, size, mode="nearest")
    with torch.no_grad():
        outputs = network({name: normalize(name, image) for name, image in images.items()})
    shape = frame["label"].shape
    return {name: F.interpolate(x, shape, mode="bilinear")[0].argmax(0).numpy() for name, x in outputs.items()}


def slow_confusions(network, dataset, size=None):
    """int64 (K, K) by output, a pixel at a time."""
    total = {name: np.zeros((5, 5), np.int64) for name in ("rgb", "depth", "ensemble")}
    for index in range(len(dataset)):
        frame = dataset[index]
        for name, labels in labeled(network, frame, size).items():
            for truth, said in zip(frame["label"].flat, labels.flat, strict=True):
                if truth != VOID:
                    total[name][truth, said] += 1
    return total


def expected(confusion):
    """mean IoU, mean accuracy and pixel accuracy by torchmetrics, of pixels made again from counts."""
    truth, said = np.repeat(np.indices(confusion.shape).reshape(2, -1), confusion.ravel(), axis=1)
    target, labels = torch.from_numpy(truth), torch.from_numpy(said)
    iou = multiclass_jaccard_index(labels, target, 5, average="none").numpy()
    accuracy = multiclass_accuracy(labels, target, 5, average="none").numpy()
    union = confusion.sum(0) + confusion.sum(1) > 0
    return iou[union].mean(), accuracy[confusion.sum(1) > 0].mean(), np.trace(confusion) / confusion.sum()


def close(scores, confusion):
    values = (scores.mean_iou, scores.mean_accuracy, scores.pixel_accuracy)
    assert values == pytest.approx(expected(confusion), rel=1e-5)


@pytest.mark.parametrize("size", [None, (24, 40)])
def test_every_output_is_counted_as_a_slow_loop_does(model, size):
    scores = measure_scores(model, Frames(), replace(DATA, size=size))
    slow = slow_confusions(model, Frames(), size)
    assert list(scores) == ["rgb", "depth", "ensemble"]
    assert len({each.pixel_accuracy for each in scores.values()}) == 3  # no output is mistaken for another
    for name, confusion in slow.items():
        close(scores[name], confusion)


@pytest.mark.parametrize("missing", ["depth", "rgb"])
def test_a_missing_modality_is_holes_or_neutral_and_out_of_the_ensemble(model, missing):
    scores = measure_scores(model, Frames(), DATA, drop=(missing,))
    assert scores["ensemble"] == scores["rgb" if missing == "depth" else "depth"]
    assert scores == measure_scores(model, Frames(blank=(missing,)), DATA)
    assert scores != measure_scores(model, Frames(), DATA)


def test_frames_that_lack_a_modality_can_be_measured_without_it(model):
    class Color(Frames):
        modalities = ("rgb",)

        def __getitem__(self, index):
            frame = super().__getitem__(index)
            del frame["depth"]
            return frame

    assert measure_scores(model, Color(), DATA, drop=("depth",)) == measure_scores(
        model, Frames(), DATA, drop=("depth",)
    )


def test_a_model_in_training_is_measured_in_evaluation(model):
    model.train()
    statistics = [x.clone() for x in model.buffers()]
    scores = measure_scores(model, Frames(), DATA)
    assert all(map(torch.equal, statistics, model.buffers()))
    assert scores == measure_scores(model.eval(), Frames(), DATA)


def test_datasets_of_other_classes_are_refused(model):
    dataset = Frames()
    dataset.labels = LabelSet.of(("wall", "floor", "chair", "dog", "cat"))
    with pytest.raises(ValueError, match="3: lamp ≠ dog"):
        measure_scores(model, dataset, DATA)
    dataset.labels = LabelSet.of(CLASSES[:4])
    with pytest.raises(ValueError, match=r"5 classes.*has 4"):
        measure_scores(model, dataset, DATA)
    dataset.labels = None
    with pytest.raises(ValueError, match="no labels"):
        measure_scores(model, dataset, DATA)


def test_labels_beyond_the_classes_are_refused(model):
    class Wrong(Frames):
        def __getitem__(self, index):
            frame = super().__getitem__(index)
            frame["label"][0, 0] = 5
            return frame

    with pytest.raises(ValueError, match="label 5"):
        measure_scores(model, Wrong(), DATA)


def results_of(folder):
    return json.loads((folder / RESULTS).read_text())


def test_the_command_writes_what_it_measured(model, weights, opened, tmp_path, capsys):
    arguments = [weights, "--dataset", "nyudv2", "--root", "/data/nyu", "--split", "validation", "--size", "24x40"]
    main([*arguments, "--output", str(tmp_path)])
    said, results = capsys.readouterr().out, results_of(tmp_path)
    slow = slow_confusions(model, Frames(), (24, 40))
    assert {name: np.array(matrix).tolist() for name, matrix in slow.items()} == results["confusion"]
    for name, confusion in slow.items():
        assert results["scores"][name]["mean_iou"] == pytest.approx(expected(confusion)[0], rel=1e-5)
        assert f"{100 * expected(confusion)[0]:.1f}" in said
    for index, each in enumerate(results["frames"]):
        frame = Frames()[index]
        known = frame["label"] != VOID
        said_labels = labeled(model, frame, (24, 40))["ensemble"]
        right = said_labels == frame["label"]
        confusion = np.histogram2d(frame["label"][known], said_labels[known], bins=range(6))[0].astype(int)
        assert each["iou"] == pytest.approx(expected(confusion)[0], rel=1e-5)
        assert each["files"] == f"frame-{index}.png"
        assert each["pixel_accuracy"] == pytest.approx(right[known].mean())
    assert len(results["frames"]) == results["data"]["frames"] == 7
    (data, split, modalities), *_ = opened
    assert (data.dataset, str(data.root), split, modalities) == ("nyudv2", "/data/nyu", "validation", ("rgb", "depth"))
    assert results["run"]["weights"] == weights and "--split validation" in results["run"]["command"]
    assert "branch rgb: mean IoU" in said


def test_only_the_first_frames(weights, opened, tmp_path):
    main([weights, "--frames", "3", "--output", str(tmp_path)])
    assert [each["index"] for each in results_of(tmp_path)["frames"]] == [0, 1, 2]


def test_calibration_is_measured_of_probabilities_by_temperature(model, tmp_path, opened, capsys):
    """Of one frame's size; all pixels in torchmetrics."""
    tempered = build(replace(NETWORK, temperature=0.1))
    tempered.load_state_dict(model.state_dict())
    checkpoint.save(tmp_path / "tempered.safetensors", tempered)
    main([str(tmp_path / "tempered.safetensors"), "--frames", "5", "--output", str(tmp_path)])
    results = results_of(tmp_path)
    probabilities, truth = [], []
    for index in range(5):
        frame = Frames()[index]
        depth = torch.from_numpy(frame["depth"].astype(np.float32) / 1000)[None, None]
        images = {"rgb": torch.from_numpy(frame["rgb"]).permute(2, 0, 1)[None].float(), "depth": depth}
        with torch.no_grad():
            logits = model({name: normalize(name, image) for name, image in images.items()})["ensemble"]
        probabilities.append((F.interpolate(logits, (32, 48), mode="bilinear") / 0.1).softmax(1))
        truth.append(torch.from_numpy(frame["label"])[None].long())
    expected = multiclass_calibration_error(torch.cat(probabilities), torch.cat(truth), 5, 15, ignore_index=VOID)
    assert results["calibration_error"] == pytest.approx(expected.item(), abs=2e-3)
    assert results["network"]["temperature"] == 0.1
    plain = slow_confusions(model, Chosen(Frames(), range(5)))
    assert results["confusion"] == {name: matrix.tolist() for name, matrix in plain.items()}, "the same labels"
    assert f"calibration error (ECE) of the ensemble: {100 * expected:.1f} %" in capsys.readouterr().out


@pytest.fixture
def holes(tmp_path):
    """Three depth images of half the frames' size, in their names' order; each has a hole of its own on the left."""
    folder = tmp_path / "holes"
    folder.mkdir()
    for number in range(3):
        depth = np.full((16, 24), 1500, np.uint16)
        depth[2 + number : 9, : 5 + number] = 0
        Image.fromarray(depth).save(folder / f"{number}.png")
    return folder


def test_frames_get_the_holes_of_a_camera(model, weights, opened, holes, tmp_path, capsys):
    class WithHoles(Frames):
        def __getitem__(self, index):
            frame = super().__getitem__(index)
            number = index % 3
            hole = np.zeros((16, 24), bool)
            hole[2 + number : 9, : 5 + number] = True
            if index % 2:
                hole = np.fliplr(hole)
            depth = np.ascontiguousarray(frame["depth"])
            scaled = cv2.resize(hole.astype(np.uint8), depth.shape[::-1], interpolation=cv2.INTER_NEAREST)
            return frame | {"depth": depth * (1 - scaled)}

    main([weights, "--holes", str(holes), "--output", str(tmp_path / "report")])
    results = results_of(tmp_path / "report")
    slow = slow_confusions(model, WithHoles())
    assert results["confusion"] == {name: matrix.tolist() for name, matrix in slow.items()}
    assert results["confusion"] != {name: each.tolist() for name, each in slow_confusions(model, Frames()).items()}
    assert results["inference"]["holes"] == str(holes)


def test_other_holes_are_refused(weights, opened, holes, tmp_path):
    with pytest.raises(ValueError, match="network that sees depth, got one for segmentation of rgb"):
        main([weights, "--holes", str(holes), "--drop", "depth"])
    with pytest.raises(FileNotFoundError, match=r"16 bits, \*\.png, in the folder .*nothing; found none"):
        main([weights, "--holes", str(tmp_path / "nothing")])
    Image.fromarray(np.zeros((16, 24), np.uint8)).save(holes / "1.png")
    with pytest.raises(ValueError, match=r"1\.png: expected depth of 16 bits, found uint8"):
        main([weights, "--holes", str(holes)])


def test_a_center_crop_is_measured_against_the_whole_frame(model, weights, opened, tmp_path, capsys):
    class Cropped(Frames):
        def __getitem__(self, index):
            frame = super().__getitem__(index)
            top, left = (6, 9) if len(frame["depth"]) == 32 else (10, 13)
            return {name: image[top : top + 20, left : left + 30] for name, image in frame.items()}

    class Center(Frames):
        def __getitem__(self, index):
            frame = super().__getitem__(index)
            top, left = (6, 9) if len(frame["depth"]) == 32 else (10, 13)
            center = np.zeros(frame["label"].shape, bool)
            center[top : top + 20, left : left + 30] = True
            return frame | {"label": np.where(center, frame["label"], VOID)}

    main([weights, "--center-crop", "20x30", "--output", str(tmp_path)])
    results = results_of(tmp_path)
    for section, frames in ((results, Cropped()), (results["whole_frame"], Center())):
        slow = slow_confusions(model, frames)
        assert section["confusion"] == {name: matrix.tolist() for name, matrix in slow.items()}
    crop, whole = (100 * section["scores"]["ensemble"]["mean_iou"] for section in (results, results["whole_frame"]))
    said = capsys.readouterr().out
    assert "the center 20×30 alone in view" in said and f"\nensemble {crop:.1f} %, {whole:.1f} % (" in said
    assert "the same pixels with the whole frame in view" in (tmp_path / "report.html").read_text()
    with pytest.raises(ValueError, match=r"center_crop: 33×30 does not fit into frame 0, which has 32×48 pixels"):
        main([weights, "--center-crop", "33x30"])


def test_several_scales_by_command(model, weights, opened, tmp_path):
    main([weights, "--mode", "multi", "--scales", "[0.75,1.25]", "--output", str(tmp_path)])
    results = results_of(tmp_path)
    scores = measure_scores(model, Frames(), DATA, InferenceConfig("multi", (0.75, 1.25)))
    assert results["scores"]["ensemble"]["mean_iou"] == scores["ensemble"].mean_iou
    assert results["inference"]["scales"] == [0.75, 1.25] and results["inference"]["average"] == "probabilities"


def test_what_is_missing_is_told(weights, opened, tmp_path, capsys):
    main([weights, "--drop", "[depth]", "--output", str(tmp_path)])
    assert opened[0][2] == ("rgb",)
    scores = results_of(tmp_path)["scores"]
    worth = ", ".join(f"{name} {100 * each['mean_iou']:.1f} %" for name, each in scores.items())
    assert f"without depth, mean IoU: {worth}" in capsys.readouterr().out
    for wrong, why in (("[hha]", "hha"), ("[rgb,depth]", "nothing is left")):
        with pytest.raises(ValueError, match=why):
            main([weights, "--drop", wrong])


def test_an_engine_is_measured_by_the_labels_that_it_gives(model, weights, opened, tmp_path, monkeypatch):
    def build_engine(frame, target, cache):
        """Of a wrong engine: every label is the next class."""
        network = Engine(frame, frame.example())
        return lambda *arrays: tuple((labels + 1) % 5 for labels in network(*arrays))

    monkeypatch.setattr("cen_model.predictor.build_engine", build_engine)
    main([weights, "--backend", "eager", "--output", str(tmp_path)])
    results = results_of(tmp_path)
    right = slow_confusions(model, Frames())["ensemble"]
    assert results["confusion"] == {"ensemble": np.roll(right, 1, axis=1).tolist()}
    assert "eager" in results["inference"]["runs_on"]
    with pytest.raises(ValueError, match="mode single"):
        main([weights, "--backend", "eager", "--mode", "multi"])


def test_an_engine_without_a_sensor(model, weights, opened, tmp_path, monkeypatch):
    monkeypatch.setattr("cen_model.predictor.build_engine", lambda frame, *_: Engine(frame, frame.example()))
    for missing in ("rgb", "depth"):
        main([weights, "--backend", "eager", "--drop", f"[{missing}]", "--output", str(tmp_path)])
        slow = slow_confusions(model, Frames(blank=(missing,)))
        assert results_of(tmp_path)["confusion"] == {"ensemble": slow["ensemble"].tolist()}


GROUPED = {"groups": {"thing": ["cat", "chair"], "floor": ["floor"]}}


def slow_groups(network, rest):
    """The ensemble's confusion by group, (K, K), or with a column for void, a pixel at a time."""
    names = np.array(["void", "floor", "thing"] if rest == "void" else ["other", "floor", "thing"])
    place = {"thing": 0, "floor": 1, "other": 2, "void": 2}
    total = np.zeros((3, 3), np.int64)
    for index in range(7):
        frame = Frames()[index]
        images = {"rgb": torch.from_numpy(frame["rgb"]).permute(2, 0, 1)[None].float()}
        images["depth"] = torch.from_numpy(frame["depth"].astype(np.float32) / 1000)[None, None]
        with torch.no_grad():
            logits = network({name: normalize(name, image) for name, image in images.items()})["ensemble"]
        shares = F.interpolate(logits, frame["label"].shape, mode="bilinear")[0].softmax(0).numpy()
        for row, column in np.ndindex(frame["label"].shape):
            wall, floor, chair, lamp, cat = shares[:, row, column]
            said = names[np.argmax([wall + lamp, floor, chair + cat])]
            truth = {0: names[0], 1: "floor", 2: "thing", 3: names[0], VOID: "void"}[frame["label"][row, column]]
            if truth != "void":
                total[place[truth], place[said]] += 1
    return total[:2] if rest == "void" else total


@pytest.mark.parametrize("options", [[], ["--backend", "eager"]])
@pytest.mark.parametrize("rest", ["other", "void"])
def test_groups_are_scored_against_the_truth_by_group(model, weights, opened, tmp_path, monkeypatch, rest, options):
    monkeypatch.setattr("cen_model.predictor.build_engine", lambda frame, *_: Engine(frame, frame.example()))
    path = tmp_path / "groups.yaml"
    path.write_text(json.dumps({**GROUPED, "rest": rest}), encoding="utf-8")
    main([weights, "--label_groups", str(path), "--output", str(tmp_path), *options])
    results = results_of(tmp_path)
    assert results["classes"] == ["thing", "floor", "other"][: 2 if rest == "void" else 3]
    slow = slow_groups(model, rest)
    assert np.abs(np.array(results["confusion"]["ensemble"]) - slow).sum() <= 4, "but for ties in the last bit"
    assert (slow > 0).all()
    ratio = np.diag(slow) / (slow.sum(1) + slow.sum(0)[: len(slow)] - np.diag(slow))
    assert results["scores"]["ensemble"]["mean_iou"] == pytest.approx(ratio.mean(), abs=1e-3)
    assert results["inference"]["label_groups"] == str(path)
    assert (tmp_path / "report.html").is_file()


def test_truth_of_the_groups_themselves_is_taken_as_it_is(model, weights, opened, tmp_path, monkeypatch):
    """Such as NYUDv2's 13 classes, for a network that tells the 40."""
    path = tmp_path / "groups.yaml"
    path.write_text(json.dumps({**GROUPED, "rest": "other"}), encoding="utf-8")
    main([weights, "--label_groups", str(path), "--output", str(tmp_path)])
    expected = results_of(tmp_path)

    class Grouped(Frames):
        labels = LabelSet.of(("thing", "floor", "other"))

        def __getitem__(self, index):
            frame = super().__getitem__(index)
            label = np.select([frame["label"] == k for k in (VOID, 1, 2)], [VOID, 1, 0], 2).astype(np.uint8)
            return {**frame, "label": label}

    monkeypatch.setattr(run_module, "open_dataset", lambda *_, **__: Grouped())
    main([weights, "--label_groups", str(path), "--output", str(tmp_path)])
    assert results_of(tmp_path)["confusion"] == expected["confusion"]


def test_a_mistake_is_told_in_words(weights, opened, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors"):
        main([str(tmp_path / "nothing.safetensors")])
    for wrong in (["--size", "0x10"], ["--workers=-1"]):
        with pytest.raises(ValueError, match=r"(size|workers): expected"):
            main([weights, *wrong])


def test_processes_share_the_frames_and_count_the_same(tmp_path, monkeypatch):
    """Five small scenes, of which two processes get two and three."""
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "random.safetensors", build(replace(NETWORK, classes=NYU13)))
    arguments = [str(tmp_path / "random.safetensors"), "--synthetic.size", "32x48", "--synthetic.test_scenes", "5"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    main([*arguments, "--output", str(tmp_path / "one")])
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "cen_model.evaluate", *arguments, "--output", str(tmp_path / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("mean iou") == 1
    one, two = results_of(tmp_path / "one"), results_of(tmp_path / "two")
    assert (one.pop("run")["processes"], two.pop("run")["processes"]) == (1, 2)
    assert one == two


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_processes_have_every_frame_once(size):
    for count in range(12):
        parts = [Ranks(rank, size).part(count) for rank in range(size)]
        assert [index for part in parts for index in part] == list(range(count))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
