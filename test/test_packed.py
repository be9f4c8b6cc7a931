# SPDX-License-Identifier: Apache-2.0
"""A packed dataset gives back what was put in, read here by other libraries too, and keeps to its budget."""

from __future__ import annotations

import io
import json

import cv2
import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from cen_model.classes import LABEL_SETS, NYU13, NYU40, LabelSet
from cen_model.data.catalog import open_dataset
from cen_model.data.data_config import DataConfig
from cen_model.data.formats.packed import Packed
from cen_model.data.tools.pack import pack

SIZE = (40, 56)
CAMERA = np.array([[100.0, 0, 28], [0, 101.0, 20], [0, 0, 1]])


class Frames:
    """Noisy frames, coarse or fine in depth."""

    modalities = ("rgb", "depth", "normal")

    def __init__(self, count, first, levels=200, labels=LABEL_SETS["nyu40"], metres=False):
        self.labels, self._count, self._first, self._levels, self._metres = labels, count, first, levels, metres

    def __len__(self):
        return self._count

    def __getitem__(self, index):
        random = np.random.default_rng(self._first + index)
        depth = (random.integers(0, self._levels, SIZE) * 37).astype(np.uint16)
        smooth = cv2.GaussianBlur(random.integers(0, 256, (*SIZE, 3), np.uint8), (0, 0), 4)
        frame = {
            "rgb": smooth,
            "depth": depth / np.float32(1000) if self._metres else depth,
            "normal": random.integers(0, 256, (*SIZE, 3), np.uint8),
        }
        if self.labels:
            frame["label"] = random.choice([*range(len(self.labels.names)), 255], SIZE).astype(np.uint8)
        return frame

    def describe(self, index):
        return f"/data/{self._first + index}.png, /data/depth/{self._first + index}.png"

    def intrinsics(self, index):
        return CAMERA


def packed(tmp_path, modalities=("rgb", "depth", "normal"), size=SIZE, max_bytes=10**7, **options):
    path = tmp_path / "packed.safetensors"
    splits = {"train": Frames(3, 0, **options), "test": Frames(2, 100, **options)}
    return splits, path, pack(splits, path, size, modalities, max_bytes)


@pytest.mark.parametrize("levels", [200, 1500])
@pytest.mark.parametrize("metres", [False, True])
def test_all_but_colour_comes_back_exactly(tmp_path, levels, metres):
    splits, path, quality = packed(tmp_path, levels=levels, metres=metres)
    assert quality == 95
    for split, source in splits.items():
        dataset = Packed(path, split)
        assert len(dataset) == len(source) and dataset.labels == LABEL_SETS["nyu40"]
        for index in range(len(source)):
            ours, theirs = dataset[index], source[index]
            for name in ("label", "normal"):
                assert np.array_equal(ours[name], theirs[name]), name
            depth = np.rint(theirs["depth"] * 1000).astype(np.uint16) if metres else theirs["depth"]
            assert np.array_equal(ours["depth"], depth)
            assert np.abs(ours["rgb"].astype(int) - theirs["rgb"]).mean() < 3
            assert dataset.describe(index).startswith(f"{source.describe(index).split(',')[0].split('/')[-1]} (in ")


def test_other_libraries_read_it(tmp_path):
    splits, path, _ = packed(tmp_path)
    tensors = load_file(path)
    start, stop = tensors["test/label.offsets"][1:3]
    with Image.open(io.BytesIO(tensors["test/label"][start:stop].tobytes())) as image:
        assert np.array_equal(np.asarray(image), splits["test"][1]["label"])
    start, stop = tensors["test/depth.offsets"][1:3]
    with Image.open(io.BytesIO(tensors["test/depth"][start:stop].tobytes())) as image:
        assert image.mode == "L"  # 200 different values fit into 8 bits
        assert np.array_equal(tensors["depth.levels"][np.asarray(image)], splits["test"][1]["depth"])


def test_frames_are_made_smaller_each_in_its_way(tmp_path):
    splits, path, _ = packed(tmp_path, size=(20, 28))
    frame, source = Packed(path, "train")[0], splits["train"][0]
    assert np.isin(frame["label"], source["label"]).all() and np.isin(frame["depth"], source["depth"]).all()
    assert np.array_equal(frame["label"], source["label"][::2, ::2])
    blocks = source["rgb"].reshape(20, 2, 28, 2, 3).mean((1, 3))
    assert np.abs(frame["rgb"] - blocks).mean() < 3
    assert np.allclose(Packed(path, "train").intrinsics(0), CAMERA * [[0.5], [0.5], [1]])


def test_a_budget_costs_quality_and_is_kept_to(tmp_path):
    colour = {"modalities": ("rgb",), "labels": None}
    _, path, best = packed(tmp_path, **colour)
    size = path.stat().st_size
    _, path, worse = packed(tmp_path, **colour, max_bytes=200_000 + round(0.75 * size))
    assert worse < best and path.stat().st_size <= 200_000 + 0.75 * size
    with pytest.raises(ValueError, match="even with JPEG quality 50"):
        packed(tmp_path, **colour, max_bytes=200_000 + size // 20)


def test_a_budget_that_is_missed_by_little_is_kept_to(tmp_path):
    colour = {"modalities": ("rgb",), "labels": None}
    _, path, best = packed(tmp_path, **colour)
    needed = sum(tensor.nbytes for tensor in load_file(path).values())
    assert packed(tmp_path, **colour, max_bytes=200_000 + needed)[2] == best
    assert packed(tmp_path, **colour, max_bytes=200_000 + needed - 1)[2] < best


def test_validation_and_test_stand_for_each_other(tmp_path):
    splits, path, _ = packed(tmp_path)
    assert np.array_equal(Packed(path, "validation")[1]["label"], splits["test"][1]["label"])
    pack({"test": splits["test"]}, path, SIZE, ("depth",), 10**7)
    with pytest.raises(ValueError, match="has no train frames, only test"):
        Packed(path, "train")


def test_forty_classes_are_thirteen_on_request(tmp_path):
    splits, path, _ = packed(tmp_path)
    dataset = open_dataset(DataConfig(dataset="packed", root=path, label_set="nyu13"), "test", ("rgb", "depth"))
    assert dataset.labels.names == NYU13
    merged, source = dataset[0]["label"], splits["test"][0]["label"]
    pairs = {(NYU40[a], NYU13[b]) for a, b in zip(source.ravel(), merged.ravel(), strict=True) if a != 255}
    assert {("desk", "table"), ("curtain", "window"), ("pillow", "objects"), ("dresser", "furniture")} <= pairs
    assert len(pairs) == 40 and (merged[source == 255] == 255).all()


def test_other_classes_cannot_be_merged(tmp_path):
    _, path, _ = packed(tmp_path, labels=LabelSet.of(("a", "b")))
    with pytest.raises(ValueError, match="has 2 classes, which nyu13 cannot be made of"):
        Packed(path, "test", "nyu13")


def test_frames_without_labels(tmp_path):
    _, path, _ = packed(tmp_path, labels=None)
    assert Packed(path, "test").labels is None and "label" not in Packed(path, "test")[0]


def test_what_is_no_packed_dataset_is_refused(tmp_path):
    path = tmp_path / "file.safetensors"
    with pytest.raises(FileNotFoundError, match=r"cen_model\.data pack"):
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
    _, path, _ = packed(tmp_path)
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


class Rooms(Frames):
    """Depth of many values, 0.4 m to 9 m and holes, and normals that are smooth."""

    modalities = ("rgb", "depth", "normal", "zbuffer")

    def __getitem__(self, index):
        frame, random = super().__getitem__(index), np.random.default_rng(index)
        depth = random.uniform(0.4, 9, SIZE).astype(np.float32)
        depth[:4] = 0
        return {**frame, "depth": depth, "normal": frame["rgb"][..., ::-1].copy(), "zbuffer": depth}


def rooms(tmp_path, modalities, max_bytes):
    path = tmp_path / "rooms.safetensors"
    quality = pack({"train": Rooms(4, 0)}, path, SIZE, modalities, max_bytes)
    return quality, path, Packed(path, "train")


def test_within_the_budget_normals_are_pictures_before_depth_is_rounded(tmp_path):
    quality, path, exact = rooms(tmp_path, ("rgb", "depth", "normal"), 10**7)
    assert quality == 95 and exact.depth_error == 0
    source = Rooms(4, 0)
    assert np.array_equal(exact[1]["normal"], source[1]["normal"])
    exact_mm = np.rint(source[1]["depth"] * 1000)
    assert np.array_equal(exact[1]["depth"], exact_mm)

    bytes_of = {name: tensor.nbytes for name, tensor in load_file(path).items()}
    without_normals = 200_000 + sum(bytes_of.values()) - bytes_of["train/normal"]
    quality, _, lossy = rooms(tmp_path, ("rgb", "depth", "normal"), without_normals + bytes_of["train/normal"] // 3)
    assert quality >= 80 and lossy.depth_error == 0 and np.array_equal(lossy[1]["depth"], exact_mm)
    assert 0 < np.abs(lossy[1]["normal"].astype(int) - source[1]["normal"]).mean() < 4

    quality, path, coarse = rooms(tmp_path, ("rgb", "depth", "normal"), without_normals - bytes_of["train/depth"] // 4)
    found = coarse[1]["depth"].astype(float)
    assert quality >= 80 and ((found == 0) == (exact_mm == 0)).all()
    known = exact_mm > 0
    worst = np.abs(found - exact_mm)[known] / exact_mm[known]
    assert worst.max() <= coarse.depth_error < 0.0085  # √(9 / 0.4)^(1/254) - 1, and half a millimetre of 0.4 m
    assert path.stat().st_size <= without_normals - bytes_of["train/depth"] // 4


def test_depth_along_the_axis_is_stored_too(tmp_path):
    _, _, dataset = rooms(tmp_path, ("zbuffer",), 10**7)
    assert np.array_equal(dataset[2]["zbuffer"], np.rint(Rooms(4, 0)[2]["zbuffer"] * 1000).astype(np.uint16))


def test_what_has_no_quality_to_lose_keeps_to_the_budget_as_well(tmp_path):
    with pytest.raises(ValueError, match=r"need more than 0\.2 MiB"):
        rooms(tmp_path, ("zbuffer",), 205_000)
    assert not list(tmp_path.iterdir())


def test_a_changed_byte_is_found(tmp_path):
    _, path, _ = packed(tmp_path)
    content = bytearray(path.read_bytes())
    at = content.index(b"\xff\xda", len(content) // 2) + 40  # in the pixels of a JPEG, which decodes all the same
    content[at] ^= 16
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged: the checksum of (train|test)/rgb is wrong"):
        [Packed(path, split) for split in ("train", "test")]


def test_files_from_before_there_were_checksums_are_read(tmp_path):
    splits, path, _ = packed(tmp_path)
    with safe_open(path, "np") as file:
        described = json.loads(file.metadata()["packed_dataset"])
    for later in ("crc32", "ways", "depth_error"):
        del described[later]
    save_file(load_file(path), path, {"packed_dataset": json.dumps(described)})
    assert np.array_equal(Packed(path, "train")[0]["label"], splits["train"][0]["label"])
