# SPDX-License-Identifier: Apache-2.0
"""SUN RGB-D in every layout: miniature trees written by other code give the frames that they were made of."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image

from cen_model.classes import SUN37
from cen_model.data.catalog import open_dataset
from cen_model.data.data_config import DataConfig

H, W = 5, 7
NUMBERS = {"train": tuple(range(5051, 5303)), "test": (1, 2, 5050)}  # the official parts
SPLITS = {
    "train": (*range(5051, 5251), 5301, 5302),
    "validation": tuple(range(5251, 5301)),  # of ten blocks of 50, the fifth
    "test": NUMBERS["test"],
}
HOME = "/n/fs/sun3d/data/SUNRGBD/"


def frame(number: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(number)
    label = random.integers(0, 38, (H, W), np.uint8)
    label[0, :2] = 0, 37
    depth = random.integers(500, 8000, (H, W), np.uint16)
    depth[0, :2] = 0, 60000  # all 16 bits are used
    return {"rgb": random.integers(0, 256, (H, W, 3), np.uint8), "depth": depth, "label": label}


def shifted(depth: np.ndarray) -> np.ndarray:
    """As the authors' files have it: the inverse of (v >> 3) | (v << 13)."""
    return np.array([[(v << 3 | v >> 13) & 0xFFFF for v in row] for row in depth.tolist()], np.uint16)


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write_tree(root: Path) -> dict[int, Path]:
    """SUNRGBD/ without labels: the folder of every frame in it."""
    folders = {}
    for number in sorted(sum(NUMBERS.values(), ())):
        inner = Path("kv2", "kinect2 data") if number % 2 else Path("xtion", "sun3ddata", "home_a")
        folders[number] = inner / f"{number:06d}"
        there = root / "SUNRGBD" / folders[number]
        save(there / "image" / f"{number}.png", frame(number)["rgb"])
        save(there / "depth_bfx" / f"{number}.png", shifted(frame(number)["depth"]))
        save(there / "depth" / f"{number}.png", shifted(frame(number)["depth"] // 2))
    return folders


def camera(number: int) -> np.ndarray:
    return np.array([[500.0 + number, 0, 320], [0, 510.0 + number, 240], [0, 0, 1]])


def write_original(root: Path) -> None:
    folders = write_tree(root)
    toolbox = root / "SUNRGBDtoolbox"
    (toolbox / "Metadata").mkdir(parents=True)
    (toolbox / "traintestSUNRGBD").mkdir()
    kinds = [("rgbpath", object), ("rgbname", object), ("depthname", object), ("K", object)]
    meta = np.empty((1, len(folders)), kinds)
    for place, (number, inner) in enumerate(folders.items()):
        meta[0, place] = (f"{HOME}{inner}/image/{number}.png", f"{number}.png", f"{number}.png", camera(number))
    scipy.io.savemat(toolbox / "Metadata" / "SUNRGBDMeta.mat", {"SUNRGBDMeta": meta})
    split = {}
    for part, numbers in NUMBERS.items():
        split[f"all{part}"] = np.array([[f"{HOME}{folders[each]}" for each in numbers]], object)
    scipy.io.savemat(toolbox / "traintestSUNRGBD" / "allsplit.mat", split)
    with h5py.File(toolbox / "Metadata" / "SUNRGBD2Dseg.mat", "w") as file:
        cells = file.create_dataset("SUNRGBD2Dseg/seglabel", (len(folders), 1), h5py.ref_dtype)
        for place, number in enumerate(folders):
            file[f"#refs#/{number}"] = frame(number)["label"].T.astype(np.uint16)
            cells[place, 0] = file[f"#refs#/{number}"].ref


def write_esanet(root: Path, base: str = "") -> None:
    folders = write_tree(root)
    for part, numbers in NUMBERS.items():
        lines: dict[str, list[str]] = {"rgb": [], "depth": [], "label": []}
        for number in numbers:
            inner = folders[number]
            (root / "SUNRGBD" / inner / "label").mkdir()
            np.save(root / "SUNRGBD" / inner / "label" / "label.npy", frame(number)["label"])
            lines["rgb"].append(f"{base}{inner}/image/{number}.png")
            lines["depth"].append(f"{base}{inner}/depth_bfx/{number}.png")
            lines["label"].append(f"{base}{inner}/label/label.npy")
        for kind, paths in lines.items():
            (root / f"{part}_{kind}.txt").write_text("\n".join(paths))


def write_exported(root: Path) -> None:
    for number in sorted(sum(NUMBERS.values(), ())):
        save(root / "image" / f"img-{number:06d}.png", frame(number)["rgb"])
        save(root / "depth" / f"{number}.png", shifted(frame(number)["depth"]))
        save(root / "label" / f"img-{number:06d}.png", frame(number)["label"])


def write_dformer(root: Path, labels: str = "labels") -> None:
    for part, numbers in NUMBERS.items():
        for number in numbers:
            save(root / "RGB" / f"{number}.png", frame(number)["rgb"])
            save(root / "Depth" / f"{number}.png", frame(number)["depth"])
            save(root / labels / f"{number}.png", frame(number)["label"])
        lines = [f"RGB/{number}.png {labels}/{number}.png" for number in numbers]
        (root / f"{part}.txt").write_text("\n".join(lines))


WRITERS = {
    "original": write_original,
    "esanet": write_esanet,
    "esanet from above": lambda root: write_esanet(root, "SUNRGBD/"),
    "exported": write_exported,
    "dformer": write_dformer,
    "sagate": lambda root: write_dformer(root, "Label"),
}


@pytest.fixture(params=WRITERS)
def root(request, tmp_path):
    WRITERS[request.param](tmp_path)
    return tmp_path


@pytest.mark.parametrize("split", SPLITS)
def test_every_layout_gives_the_frames(root, split):
    numbers = SPLITS[split]
    dataset = open_dataset(DataConfig("sunrgbd", root), split, ["rgb", "depth"])
    assert len(dataset) == len(numbers)
    assert dataset.labels.names == SUN37
    by_color = {frame(number)["rgb"].tobytes(): number for number in numbers}
    found = set()
    for index in range(len(dataset)):
        read = dataset[index]
        number = by_color[read["rgb"].tobytes()]
        made = frame(number)
        found.add(number)
        assert read["depth"].dtype == np.uint16
        assert (read["depth"] == made["depth"]).all()
        assert (read["label"] == np.where(made["label"] == 0, 255, made["label"] - 1.0)).all()
        assert str(number) in dataset.describe(index)
    assert found == set(numbers)


def test_every_frame_of_the_original_has_its_own_camera(tmp_path):
    write_original(tmp_path)
    dataset = open_dataset(DataConfig("sunrgbd", tmp_path), "train", ["rgb", "depth", "hha"])
    numbers = {frame(number)["rgb"].tobytes(): number for number in SPLITS["train"]}
    for index in range(len(dataset)):
        assert (dataset.intrinsics(index) == camera(numbers[dataset[index]["rgb"].tobytes()])).all()


def test_labels_above_37_are_refused(tmp_path):
    write_exported(tmp_path)
    save(tmp_path / "label" / "img-000001.png", np.full((H, W), 38, np.uint8))
    with pytest.raises(ValueError, match=r"img-000001\.png.*38"):
        open_dataset(DataConfig("sunrgbd", tmp_path), "test", ["rgb"])[0]


def test_depth_of_eight_bits_is_read_with_a_scale_alone(tmp_path):
    write_dformer(tmp_path)
    save(tmp_path / "Depth" / "5051.png", np.full((H, W), 51, np.uint8))
    with pytest.raises(ValueError, match=r"5051\.png.*8 bits.*data\.depth_scale"):
        open_dataset(DataConfig("sunrgbd", tmp_path), "train", ["depth"])[0]
    assert (open_dataset(DataConfig("sunrgbd", tmp_path, depth_scale=25.5), "train", ["depth"])[0]["depth"] == 2).all()


def test_frames_without_images_are_named(tmp_path):
    write_exported(tmp_path)
    (tmp_path / "image" / "img-000002.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"number 2 "):
        open_dataset(DataConfig("sunrgbd", tmp_path), "test", ["rgb"])
    write_original(tmp_path / "original")
    next((tmp_path / "original" / "SUNRGBD").rglob("depth_bfx/5051.png")).unlink()
    with pytest.raises(FileNotFoundError, match="5051"):
        open_dataset(DataConfig("sunrgbd", tmp_path / "original"), "train", ["rgb"])


def test_lists_of_different_lengths_are_refused(tmp_path):
    write_esanet(tmp_path)
    (tmp_path / "test_depth.txt").write_text("one.png")
    with pytest.raises(ValueError, match="differ in length"):
        open_dataset(DataConfig("sunrgbd", tmp_path), "test", ["rgb"])


def test_a_few_frames_have_none_for_validation(tmp_path):
    write_exported(tmp_path)
    for path in tmp_path.rglob("*5[12]??.png"):
        path.unlink()
    with pytest.raises(ValueError, match=r"none of \d+ SUN RGB-D frames is for validation"):
        open_dataset(DataConfig("sunrgbd", tmp_path), "validation", ["rgb"])


@pytest.mark.parametrize("layout", ["original", "esanet", "exported", "dformer"])
def test_named_layouts_that_are_not_there_fail_in_words(tmp_path, layout):
    with pytest.raises((ValueError, FileNotFoundError), match=str(tmp_path)):
        open_dataset(DataConfig("sunrgbd", tmp_path, layout), "train", ["rgb"])
