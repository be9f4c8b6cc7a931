# SPDX-License-Identifier: Apache-2.0
"""Your own data, described by a YAML file: folders and lists, label conventions, and mistakes that are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from cen_model.data.catalog import open_dataset
from cen_model.data.data_config import DataConfig

H, W = 4, 5
FOLDERS = {kind: f"some images/{kind}" for kind in ("rgb", "depth", "label")}
DESCRIBED = {
    "classes": ["floor", "wall", "person"],
    "labels": "from_zero",
    "depth_scale": 5000,
    "intrinsics": [500, 510, 2, 1.5],
    "train": FOLDERS,
    "validation": FOLDERS,
}


def frame(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    label = random.integers(0, 3, (H, W), np.uint8)
    label[0] = 0, 1, 2, 255, 0
    depth = random.integers(1, 60000, (H, W), np.uint16)
    return {"rgb": random.integers(0, 256, (H, W, 3), np.uint8), "depth": depth, "label": label}


def write(root: Path, described=DESCRIBED, **changed) -> DataConfig:
    for seed in range(3):
        for kind, array in frame(seed).items():
            path = root / FOLDERS[kind] / f"no. {seed}.{'PNG' if kind == 'rgb' else 'png'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
    (root / "data.yaml").write_text(yaml.safe_dump({**described, **changed}))
    return DataConfig("custom", root / "data.yaml")


def check(dataset) -> None:
    assert len(dataset) == 3
    for seed in range(3):
        read, made = dataset[seed], frame(seed)
        assert (read["rgb"] == made["rgb"]).all()
        np.testing.assert_allclose(read["depth"], made["depth"] / 5000, rtol=1e-6)
        assert (read["label"] == made["label"]).all()


def test_folders(tmp_path):
    config = write(tmp_path)
    dataset = open_dataset(config, "train", ["rgb", "depth"])
    check(dataset)
    assert dataset.labels.names == ("floor", "wall", "person")
    assert dataset.intrinsics(0).tolist() == [[500, 0, 2], [0, 510, 1.5], [0, 0, 1]]
    check(open_dataset(config, "test", ["rgb", "depth"]))


def test_lists(tmp_path):
    write(tmp_path)
    for kind, folder in FOLDERS.items():
        ending = "PNG" if kind == "rgb" else "png"
        lines = [f"{folder}/no. {seed}.{ending}" for seed in range(3)]
        lines[1] = str(tmp_path / lines[1])
        (tmp_path / f"{kind}.txt").write_bytes("\r\n".join(lines).encode())
    config = write(tmp_path, train={kind: f"{kind}.txt" for kind in FOLDERS})
    check(open_dataset(config, "train", ["rgb", "depth"]))
    (tmp_path / "rgb.txt").write_text(lines[0])
    with pytest.raises(ValueError, match="differ in length"):
        open_dataset(config, "train", ["rgb"])


def test_test_alone_is_validation_too_and_a_warning_says_so(tmp_path, caplog):
    described = {key: value for key, value in DESCRIBED.items() if key != "validation"}
    config = write(tmp_path, described, test=FOLDERS)
    check(open_dataset(config, "validation", ["rgb", "depth"]))
    assert "has no validation frames; its test frames stand for them" in caplog.text
    for split in ("train", "validation"):
        with pytest.raises(ValueError, match="validation and test frames have to be different ones"):
            open_dataset(replace(config, include_validation=True), split, ["rgb", "depth"])
    with pytest.raises(ValueError, match=r"data\.yaml: has no validation frames, only train"):
        open_dataset(write(tmp_path, described), "validation", ["rgb", "depth"])


def test_depth_in_meters_as_arrays(tmp_path):
    config = write(tmp_path, depth_scale=1, train={"rgb": FOLDERS["rgb"], "depth": "arrays"})
    (tmp_path / "arrays").mkdir()
    for seed in range(3):
        np.save(tmp_path / "arrays" / f"no. {seed}.npy", frame(seed)["depth"] / 5000)
    dataset = open_dataset(config, "train", ["rgb", "depth"])
    assert dataset.labels is None
    np.testing.assert_allclose(dataset[2]["depth"], frame(2)["depth"] / 5000, rtol=1e-6)
    assert dataset[2]["depth"].dtype == np.float32


@pytest.mark.parametrize(
    ("stored", "scale", "meters"),
    [
        (np.float32(2.5), None, 2.5),
        (np.float64(2.5), None, 2.5),
        (np.uint16(2500), None, 2.5),
        (np.int32(2500), None, 2.5),
        (np.float32(2500), 1000, 2.5),
        (np.uint16(2500), 5000, 0.5),
    ],
)
def test_the_unit_of_depth_is_told_or_what_is_usual_for_the_type(tmp_path, stored, scale, meters):
    described = {key: value for key, value in DESCRIBED.items() if key != "depth_scale"}
    told = {} if scale is None else {"depth_scale": scale}
    config = write(tmp_path, described, train={"depth": "arrays"}, **told)
    (tmp_path / "arrays").mkdir()
    np.save(tmp_path / "arrays" / "0.npy", np.full((H, W), stored))
    assert np.unique(open_dataset(config, "train", ["depth"])[0]["depth"]).tolist() == [meters]


@pytest.mark.parametrize(
    ("labels", "ids"),
    [
        ("zero_is_void", [255, 0, 1, 2, 255]),
        ({"first": 1, "void": 0}, [255, 0, 1, 2, 255]),
        ({"first": 1, "void": [0, 7]}, [255, 0, 1, 2, 255]),
    ],
)
def test_conventions(tmp_path, labels, ids):
    config = write(tmp_path, labels=labels)
    for seed in range(3):
        made = np.broadcast_to(np.array([0, 1, 2, 3, 0], np.uint8), (H, W))
        Image.fromarray(made).save(tmp_path / FOLDERS["label"] / f"no. {seed}.png")
    assert open_dataset(config, "train", ["rgb"])[0]["label"][0].tolist() == ids


def test_colors(tmp_path):
    colors = {"floor": [1, 2, 3], "wall": [4, 5, 6], "person": [255, 0, 0]}
    labels = open_dataset(write(tmp_path, classes=colors), "train", ["rgb"]).labels
    assert dict(zip(labels.names, map(list, labels.colors), strict=True)) == colors


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"classes": None}, "classes: expected"),
        ({"classes": []}, "classes: expected"),
        ({"classes": {}}, "classes: expected"),
        ({"classes": [str(each) for each in range(256)]}, "classes: expected"),
        ({"classes": {"a": [1, 2]}}, "for a, got"),
        ({"classes": {"a": ["x", 1, 2]}}, "for a, got"),
        ({"labels": None}, "labels: say how"),
        ({"labels": "from_one"}, "from_one"),
        ({"labels": {"void": [-1]}}, "labels: expected"),
        ({"labels": {"first": "a"}}, "labels: expected"),
        ({"labels": {"frist": 1}}, "labels: expected"),
        ({"depth_scale": 0}, "depth_scale"),
        ({"depth_scale": "mm"}, "depth_scale"),
        ({"intrinsics": [1, 2, 3]}, "intrinsics"),
        ({"intrinsics": ["a", 2, 3, 4]}, "intrinsics"),
        ({"trian": FOLDERS}, "did you mean train"),
        ({"train": FOLDERS | {"rgbd": "x"}}, "rgbd"),
        ({"train": {"label": FOLDERS["label"]}}, "train: expected"),
        ({"train": "folder"}, "train: expected"),
        ({"train": ["rgb"]}, "train: expected"),
    ],
)
def test_mistakes_are_named(tmp_path, changed, said):
    config = write(tmp_path, **changed)
    with pytest.raises(ValueError, match=said) as error:
        open_dataset(config, "train", ["rgb"])
    assert "data.yaml" in str(error.value)


@pytest.mark.parametrize("content", [b"- a\n", b"", b"a: [", b"\xff\xfe\x00", b"3"])
def test_files_that_describe_nothing_are_named(tmp_path, content):
    (tmp_path / "data.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=r"data\.yaml"):
        open_dataset(DataConfig("custom", tmp_path / "data.yaml"), "train", ["rgb"])


def test_files_without_partners_are_named(tmp_path):
    config = write(tmp_path)
    depth = tmp_path / FOLDERS["depth"]
    (depth / "no. 1.jpg").write_bytes((depth / "no. 1.png").read_bytes())
    with pytest.raises(ValueError, match=r"no\. 1\.png.*one name"):
        open_dataset(config, "train", ["rgb"])
    (depth / "no. 1.jpg").unlink()
    (depth / "no. 1.png").unlink()
    with pytest.raises(ValueError, match=r"1 images without a partner, such as no\. 1"):
        open_dataset(config, "train", ["rgb"])
    for folder in FOLDERS.values():
        for path in (tmp_path / folder).iterdir():
            path.unlink()
    with pytest.raises(ValueError, match=r"no \.png or \.jpg"):
        open_dataset(config, "train", ["rgb"])
    with pytest.raises(FileNotFoundError, match="nowhere"):
        open_dataset(write(tmp_path, train={"rgb": "nowhere"}), "train", ["rgb"])
