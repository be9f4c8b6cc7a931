# SPDX-License-Identifier: Apache-2.0
"""Cityscapes: a miniature tree written by other code; depth against a loop over pixels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cen_model.data.catalog import open_dataset
from cen_model.data.data_config import SPLITS, DataConfig
from cen_model.data.formats.cityscapes import disparity_to_depth

H, W = 6, 10
STEM = "bern_000000_000019"
BASELINE, FX = 0.22, 2268.36
# Of the authors' cityscapesscripts/helpers/labels.py: id, train id.
TRAIN_IDS = [
    *((7, 0), (8, 1), (11, 2), (12, 3), (13, 4), (17, 5), (19, 6), (20, 7), (21, 8), (22, 9), (23, 10), (24, 11)),
    *((25, 12), (26, 13), (27, 14), (28, 15), (31, 16), (32, 17), (33, 18)),
]


def ids() -> np.ndarray:
    values = np.zeros(H * W, np.uint8)
    values[:34] = range(34)
    values[34] = 255
    return values.reshape(H, W)


def train_ids() -> np.ndarray:
    known = dict(TRAIN_IDS)
    return np.array([[known.get(value, 255) for value in row] for row in ids().tolist()], np.uint8)


def disparity() -> np.ndarray:
    values = np.random.default_rng(3).integers(2, 32000, (H, W), np.uint16)
    values[0, :2] = 0, 1
    return values


def depth(baseline: float, fx: float) -> np.ndarray:
    far = np.zeros((H, W))
    for place, value in np.ndenumerate(disparity()):
        if value > 1:
            far[place] = baseline * fx / ((float(value) - 1) / 256)
    return far


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write(root: Path, kinds=("labelIds", "labelTrainIds"), stem: str = STEM, part: str = "val") -> None:
    city = stem.split("_")[0]
    rgb = np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)
    save(root / "leftImg8bit" / part / city / f"{stem}_leftImg8bit.png", rgb)
    save(root / "disparity" / part / city / f"{stem}_disparity.png", disparity())
    stored = {"labelIds": ids(), "labelTrainIds": train_ids()}
    for kind in kinds:
        save(root / "gtFine" / part / city / f"{stem}_gtFine_{kind}.png", stored[kind])


def write_camera(root: Path, text: str) -> None:
    path = root / "camera" / "val" / "bern" / f"{STEM}_camera.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)


@pytest.mark.parametrize("kinds", [("labelIds",), ("labelTrainIds",), ("labelIds", "labelTrainIds")])
def test_labels_of_either_kind(tmp_path, kinds):
    write(tmp_path, kinds)
    dataset = open_dataset(DataConfig("cityscapes", tmp_path), "test", ["rgb", "depth"])
    assert (dataset[0]["label"] == train_ids()).all()
    assert len(dataset.labels.names) == 19


def test_labels_of_both_kinds_in_one_tree(tmp_path):
    write(tmp_path, ("labelTrainIds",))
    write(tmp_path, ("labelIds",), "ulm_000001_000019")
    dataset = open_dataset(DataConfig("cityscapes", tmp_path), "test", ["rgb"])
    assert len(dataset) == 2
    for index in range(2):
        assert (dataset[index]["label"] == train_ids()).all()


def test_unknown_ids_are_refused(tmp_path):
    write(tmp_path, ("labelIds",))
    save(tmp_path / "gtFine" / "val" / "bern" / f"{STEM}_gtFine_labelIds.png", np.full((H, W), 34, np.uint8))
    with pytest.raises(ValueError, match=r"labelIds\.png.*34"):
        open_dataset(DataConfig("cityscapes", tmp_path), "test", ["rgb"])[0]


def test_depth_by_the_frames_own_camera(tmp_path):
    write(tmp_path)
    write_camera(tmp_path, json.dumps({"extrinsic": {"baseline": BASELINE}, "intrinsic": {"fx": FX}}))
    read = open_dataset(DataConfig("cityscapes", tmp_path), "test", ["rgb", "depth"])[0]["depth"]
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, depth(BASELINE, FX), rtol=1e-5)


def test_depth_without_a_camera(tmp_path):
    write(tmp_path)
    read = open_dataset(DataConfig("cityscapes", tmp_path), "test", ["rgb", "depth"])[0]["depth"]
    np.testing.assert_allclose(read, depth(0.209313, 2262.52), rtol=1e-5)


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"extrinsic": {"baseline": "a"}, "intrinsic": {"fx": 1.0}}'])
def test_damaged_cameras_are_named(tmp_path, text):
    write(tmp_path)
    write_camera(tmp_path, text)
    with pytest.raises(ValueError, match=r"camera\.json"):
        open_dataset(DataConfig("cityscapes", tmp_path), "test", ["depth"])[0]


def test_missing_parts_are_named(tmp_path):
    write(tmp_path)
    with pytest.raises(FileNotFoundError, match="leftImg8bit/train"):
        open_dataset(DataConfig("cityscapes", tmp_path), "train", ["rgb"])
    write(tmp_path, (), "ulm_000001_000019")
    with pytest.raises(FileNotFoundError, match=r"ulm_000001_000019_gtFine_labelIds\.png"):
        open_dataset(DataConfig("cityscapes", tmp_path), "test", ["rgb"])


def test_validation_takes_three_of_the_training_cities(tmp_path):
    write(tmp_path)
    cities = ("aachen", "krefeld", "ulm", "zurich")
    for kind in ("leftImg8bit", "disparity", "gtFine"):
        for city in cities:
            shutil.copytree(tmp_path / kind / "val" / "bern", tmp_path / kind / "train" / city)
    for path in tmp_path.rglob("train/*/bern_*"):
        path.rename(path.with_name(path.name.replace("bern", path.parent.name)))
    opened = {split: open_dataset(DataConfig("cityscapes", tmp_path), split, ["rgb"]) for split in SPLITS}
    found = {split: [each.frames[i]["rgb"].parent.name for i in range(len(each))] for split, each in opened.items()}
    assert found == {"train": ["aachen", "zurich"], "validation": ["krefeld", "ulm"], "test": ["bern"]}


def test_another_label_set_is_refused(tmp_path):
    write(tmp_path)
    with pytest.raises(ValueError, match="nyu40"):
        open_dataset(DataConfig("cityscapes", tmp_path, label_set="nyu40"), "test", ["rgb"])


def test_what_is_too_far_to_be_measured_is_a_hole(tmp_path):
    path = tmp_path / "a_disparity.png"
    Image.fromarray(np.array([[0, 1, 2, 256, 257]], np.uint16)).save(path)
    far = 0.209313 * 2262.52
    np.testing.assert_allclose(disparity_to_depth(path), [[0, 0, 0, 0, far]], rtol=1e-6)
