# SPDX-License-Identifier: Apache-2.0
"""A packed dataset gives back what was put in, read here by other libraries too."""

from __future__ import annotations

import io
import json
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from cen_model.classes import LABEL_SETS, NYU13, NYU40, LabelSet
from cen_model.data.catalog import open_dataset
from cen_model.data.data_config import DataConfig
from cen_model.data.formats.nyudv2_split import BLOCKS
from cen_model.data.formats.packed import Packed
from cen_model.data.tools.pack import pack

SIZE = (40, 56)
CAMERA = np.array([[100.0, 0, 28], [0, 101.0, 20], [0, 0, 1]])


class Frames:
    """Noisy frames, coarse or fine in depth."""

    modalities = ("rgb", "depth", "normal")

    def __init__(self, count, first, levels=200, labels=LABEL_SETS["nyu40"], meters=False):
        self.labels, self._count, self._first, self._levels, self._meters = labels, count, first, levels, meters

    def __len__(self):
        return self._count

    def __getitem__(self, index):
        random = np.random.default_rng(self._first + index)
        depth = (random.integers(0, self._levels, SIZE) * 37).astype(np.uint16)
        smooth = cv2.GaussianBlur(random.integers(0, 256, (*SIZE, 3), np.uint8), (0, 0), 4)
        frame = {
            "rgb": smooth,
            "depth": depth / np.float32(1000) if self._meters else depth,
            "normal": random.integers(0, 256, (*SIZE, 3), np.uint8),
        }
        if self.labels:
            frame["label"] = random.choice([*range(len(self.labels.names)), 255], SIZE).astype(np.uint8)
        return frame

    def describe(self, index):
        return f"/data/{self._first + index}.png, /data/depth/{self._first + index}.png"

    def intrinsics(self, index):
        return CAMERA


def packed(tmp_path, modalities=("rgb", "depth", "normal"), size=SIZE, **options):
    path = tmp_path / "packed.safetensors"
    splits = {"train": Frames(3, 0, **options), "test": Frames(2, 100, **options)}
    pack(splits, path, size, modalities)
    return splits, path


@pytest.mark.parametrize("levels", [200, 1500])
@pytest.mark.parametrize("meters", [False, True])
def test_all_but_color_comes_back_exactly(tmp_path, levels, meters):
    splits, path = packed(tmp_path, levels=levels, meters=meters)
    for split, source in splits.items():
        dataset = Packed(path, split)
        assert len(dataset) == len(source) and dataset.labels == LABEL_SETS["nyu40"]
        for index in range(len(source)):
            ours, theirs = dataset[index], source[index]
            for name in ("label", "normal"):
                assert np.array_equal(ours[name], theirs[name]), name
            depth = np.rint(theirs["depth"] * 1000).astype(np.uint16) if meters else theirs["depth"]
            assert np.array_equal(ours["depth"], depth)
            assert np.abs(ours["rgb"].astype(int) - theirs["rgb"]).mean() < 3
            assert dataset.describe(index).startswith(f"{source.describe(index).split(',')[0].split('/')[-1]} (in ")


def test_other_libraries_read_it(tmp_path):
    splits, path = packed(tmp_path)
    tensors = load_file(path)
    start, stop = tensors["test/label.offsets"][1:3]
    with Image.open(io.BytesIO(tensors["test/label"][start:stop].tobytes())) as image:
        assert np.array_equal(np.asarray(image), splits["test"][1]["label"])
    start, stop = tensors["test/depth.offsets"][1:3]
    with Image.open(io.BytesIO(tensors["test/depth"][start:stop].tobytes())) as image:
        assert image.mode == "L"  # 200 different values fit into 8 bits
        assert np.array_equal(tensors["depth.levels"][np.asarray(image)], splits["test"][1]["depth"])


def test_frames_are_made_smaller_each_in_its_way(tmp_path):
    splits, path = packed(tmp_path, size=(20, 28))
    frame, source = Packed(path, "train")[0], splits["train"][0]
    assert np.isin(frame["label"], source["label"]).all() and np.isin(frame["depth"], source["depth"]).all()
    assert np.array_equal(frame["label"], source["label"][::2, ::2])
    blocks = source["rgb"].reshape(20, 2, 28, 2, 3).mean((1, 3))
    assert np.abs(frame["rgb"] - blocks).mean() < 3
    assert np.allclose(Packed(path, "train").intrinsics(0), CAMERA * [[0.5], [0.5], [1]])


def test_validation_and_test_stand_for_each_other(tmp_path, caplog):
    splits, path = packed(tmp_path)
    assert np.array_equal(Packed(path, "validation")[1]["label"], splits["test"][1]["label"])
    assert f"{path}: has no validation frames; its test frames stand for them" in caplog.text
    with pytest.raises(ValueError, match="validation and test frames have to be different ones"):
        open_dataset(DataConfig("packed", path, include_validation=True), "train", ("rgb", "depth"))
    pack({"test": splits["test"]}, path, SIZE, ("depth",))
    with pytest.raises(ValueError, match="has no train frames, only test"):
        Packed(path, "train")


class Named(Frames):
    """Frames of these names."""

    def __init__(self, names):
        super().__init__(len(names), 0)
        self.names = names

    def describe(self, index):
        return f"/data/rgb/{self.names[index]}, /data/depth/{self.names[index]}"


def official_training_frames(first):
    """Numbers like those of NYUDv2's 795 training frames, the lowest of which is `first`."""
    validation = [number for block in BLOCKS for number in block]
    others = [number for number in range(3, 1449) if number not in validation]
    numbers = sorted([*validation, *others[: 795 - len(validation)]])
    return [number + first - 3 for number in numbers]


@pytest.mark.parametrize("named", ["{:04d}.jpg", "NYU{:d}.png", "nyu_depth_v2_labeled.mat, frame {:d}"])
@pytest.mark.parametrize("first", [3, 2])
@pytest.mark.parametrize("second", ["validation", "test", None])
def test_nyudv2_packed_in_its_two_official_parts_has_three_splits(tmp_path, named, first, second):
    """As files were written before there were validation frames; the test frames had either name."""
    names = [named.format(number) for number in official_training_frames(first)]
    source, path = Frames(2, 100), tmp_path / "packed.safetensors"
    pack({"train": Frames(795, 0)} | ({second: source} if second else {}), path, (8, 8), ("depth",))
    described = metadata(path)
    described["frames"]["train"] = names
    save_file(load_file(path), path, {"packed_dataset": json.dumps(described)})
    validation = {number + first - 3 for block in BLOCKS for number in block}
    for split, held_out in (("train", False), ("validation", True)):
        dataset = Packed(path, split)
        places = [i for i, each in enumerate(official_training_frames(first)) if (each in validation) == held_out]
        assert len(dataset) == len(places) == (len(validation) if held_out else 795 - len(validation))
        for index in (0, len(places) // 2, len(places) - 1):
            assert dataset.describe(index).startswith(f"{names[places[index]]} (in")
            assert np.array_equal(dataset[index]["label"], Frames(795, 0)[places[index]]["label"][::5, ::7])
    if second:
        assert [Packed(path, "test").describe(i)[:7] for i in range(2)] == ["100.png", "101.png"]
    else:
        with pytest.raises(ValueError, match="has no test frames, only train"):
            Packed(path, "test")


def test_forty_classes_are_thirteen_on_request(tmp_path):
    splits, path = packed(tmp_path)
    dataset = open_dataset(DataConfig(dataset="packed", root=path, label_set="nyu13"), "test", ("rgb", "depth"))
    assert dataset.labels.names == NYU13
    merged, source = dataset[0]["label"], splits["test"][0]["label"]
    pairs = {(NYU40[a], NYU13[b]) for a, b in zip(source.ravel(), merged.ravel(), strict=True) if a != 255}
    assert {("desk", "table"), ("curtain", "window"), ("pillow", "objects"), ("dresser", "furniture")} <= pairs
    assert len(pairs) == 40 and (merged[source == 255] == 255).all()


def test_other_classes_cannot_be_merged(tmp_path):
    _, path = packed(tmp_path, labels=LabelSet.of(("a", "b")))
    with pytest.raises(ValueError, match="has 2 classes, which nyu13 cannot be made of"):
        Packed(path, "test", "nyu13")


def test_frames_without_labels(tmp_path):
    _, path = packed(tmp_path, labels=None)
    assert Packed(path, "test").labels is None and "label" not in Packed(path, "test")[0]


def test_what_is_no_packed_dataset_is_refused(tmp_path):
    path = tmp_path / "file.safetensors"
    with pytest.raises(FileNotFoundError, match="cen data pack"):
        Packed(path, "train")
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match="damaged, or not a packed dataset"):
        Packed(path, "train")
    save_file({"a": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="not a dataset packed by this version"):
        Packed(path, "train")
    save_file({"a": np.zeros(3)}, path, {"packed_dataset": json.dumps({"version": 99})})
    with pytest.raises(ValueError, match="pack it again"):
        Packed(path, "train")


def test_half_a_file_and_a_damaged_image_are_named(tmp_path):
    _, path = packed(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="damaged, or not a packed dataset"):
        Packed(path, "train")
    path.write_bytes(whole)
    dataset = Packed(path, "train")
    start, stop = dataset._blobs["train/label.offsets"][1:3]
    dataset._blobs["train/label"][start:stop] = 0
    with pytest.raises(ValueError, match=r"1\.png \(in .*label is damaged"):
        dataset[1]


def test_a_changed_byte_is_found(tmp_path):
    _, path = packed(tmp_path)
    content = bytearray(path.read_bytes())
    at = content.index(b"\xff\xda", len(content) // 2) + 40  # in the pixels of a JPEG, which decodes all the same
    content[at] ^= 16
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged: the checksum of (train|test)/rgb is wrong"):
        [Packed(path, split) for split in ("train", "test")]


def metadata(path):
    with safe_open(path, "np") as file:
        return json.loads(file.metadata()["packed_dataset"])


def test_files_from_before_there_were_checksums_are_read(tmp_path):
    splits, path = packed(tmp_path)
    described = metadata(path)
    del described["crc32"]
    save_file(load_file(path), path, {"packed_dataset": json.dumps(described)})
    assert np.array_equal(Packed(path, "train")[0]["label"], splits["train"][0]["label"])


def encoded(images, ending):
    """Tensors of images (B, H, W) or (B, H, W, 3): their bytes, one after the other, and where each begins."""
    written = [cv2.imencode(ending, image[..., ::-1] if image.ndim == 3 else image)[1] for image in images]
    return np.concatenate(written), np.cumsum([0, *map(len, written)], dtype=np.int64)


def test_files_that_a_budget_made_lossy_are_read(tmp_path):
    """Depth in 255 levels and normals as JPEG, as they were written where a file had a greatest size."""
    splits, path = packed(tmp_path, levels=1500)
    tensors, frames = load_file(path), [splits["train"][index] for index in range(3)]
    levels = np.linspace(0, 1499 * 37, 256).round().astype(np.uint16)
    depths = np.stack([np.abs(frame["depth"][..., None] - levels.astype(int)).argmin(-1) for frame in frames])
    normals = np.stack([frame["rgb"] for frame in frames])  # smooth, as normals are
    tensors["depth.levels"] = levels
    tensors["train/depth"], tensors["train/depth.offsets"] = encoded(depths.astype(np.uint8), ".png")
    tensors["train/normal"], tensors["train/normal.offsets"] = encoded(normals, ".jpg")
    ways = {"rgb": "jpeg 80", "depth": "levels", "normal": "jpeg 80", "label": "png"}
    described = metadata(path) | {"ways": ways, "depth_error": 0.5}
    described["crc32"] = {name: zlib.crc32(tensor) for name, tensor in tensors.items()}
    save_file(tensors, path, {"packed_dataset": json.dumps(described)})
    dataset = Packed(path, "train")
    for index, frame in enumerate(frames):
        ours = dataset[index]
        assert np.abs(ours["depth"].astype(int) - frame["depth"]).max() <= np.diff(levels.astype(int)).max() / 2 + 1
        assert np.abs(ours["normal"].astype(int) - normals[index]).mean() < 4
        assert np.array_equal(ours["label"], frame["label"])


def test_depth_along_the_axis_is_stored_in_millimeters_too(tmp_path):
    class Rooms(Frames):
        modalities = ("zbuffer",)

        def __getitem__(self, index):
            return {"zbuffer": np.random.default_rng(index).uniform(0.4, 9, SIZE).astype(np.float32)}

    source = Rooms(3, 0, labels=None)
    pack({"train": source}, tmp_path / "rooms.safetensors", SIZE, ("zbuffer",))
    stored = Packed(tmp_path / "rooms.safetensors", "train")[2]["zbuffer"]
    assert np.array_equal(stored, np.rint(source[2]["zbuffer"] * 1000).astype(np.uint16))
