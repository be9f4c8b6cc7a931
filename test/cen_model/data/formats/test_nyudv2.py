# SPDX-License-Identifier: Apache-2.0
"""NYUDv2 in every layout: miniature trees written by other code give the frames that they were made of."""

from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image

from cen_model.classes import NYU13, NYU40
from cen_model.data.catalog import open_dataset
from cen_model.data.data_config import DataConfig
from cen_model.data.formats.nyudv2_split import BLOCKS
from helpers.paths import SHARED

NYUDV2 = SHARED / "nyudv2"
H, W = 6, 8
TRAIN, TEST = ("0003", "0048", "0058"), ("0001",)  # the official parts
PARTS = {"train": ("0003", "0058"), "validation": ("0048",), "test": TEST}


def frame(name: str) -> dict[str, np.ndarray]:
    """Color, depth in mm, and labels of 0 = void and 1 to 40, by the frame's name."""
    random = np.random.default_rng(int(name))
    label = random.integers(0, 41, (H, W), np.uint8)
    label[0, :3] = 0, 1, 40
    depth = random.integers(500, 9999, (H, W), np.uint16)
    depth[1, 1] = 0
    return {"rgb": random.integers(0, 256, (H, W, 3), np.uint8), "depth": depth, "label": label}


def ids(label: np.ndarray) -> np.ndarray:
    return np.array([[255 if value == 0 else value - 1 for value in row] for row in label.tolist()], np.uint8)


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)


def lists(root: Path, line: str, names=("train.txt", "test.txt"), ending: str = "\r\n") -> None:
    for name, part in zip(names, (TRAIN, TEST), strict=True):
        (root / name).write_bytes("".join(line.format(each) + ending for each in part).encode())


def write_esanet(root: Path) -> None:
    for part, names in (("train", TRAIN), ("test", TEST)):
        for name in names:
            save(root / part / "rgb" / f"{name}.png", frame(name)["rgb"])
            save(root / part / "depth" / f"{name}.png", frame(name)["depth"])
            save(root / part / "depth_raw" / f"{name}.png", frame(name)["depth"] // 2)
            save(root / part / "labels_40" / f"{name}.png", frame(name)["label"])


def write_lists(root: Path) -> None:
    for name in (*TRAIN, *TEST):
        save(root / "rgb" / f"{name}.png", frame(name)["rgb"])
        save(root / "depth" / f"{name}.png", frame(name)["depth"] * 5)
        picture = Image.fromarray(ids(frame(name)["label"]), "P")
        picture.putpalette(np.random.default_rng(1).integers(0, 256, 768, np.uint8).tobytes())
        (root / "masks").mkdir(exist_ok=True)
        picture.save(root / "masks" / f"{name}.png")
    lists(root, "rgb/{0}.png\tmasks/{0}.png\tdepth/{0}.png", ("train.txt", "val.txt"))


def write_absolute_lists(root: Path) -> None:
    write_lists(root)
    lists(root, f"{root}/rgb/{{0}}.png\t{root}/masks/{{0}}.png\t{root}/depth/{{0}}.png", ("train.txt", "val.txt"))


def write_sagate(root: Path, line: str = "RGB/a {0}.PNG\tLabel/a {0}.png", depth: str = "a {0}.npy") -> None:
    for name in (*TRAIN, *TEST):
        made = frame(name)
        opaque = np.full((H, W, 1), 255, np.uint8)
        save(root / "RGB" / f"a {name}.PNG", np.concatenate([made["rgb"], opaque], 2))
        save(root / "Label" / f"a {name}.png", made["label"].astype(np.uint16))
        save(root / "HHA" / f"a {name}.png", made["rgb"][::-1])
        stored = made["depth"] / np.float32(1000) if depth.endswith("npy") else made["depth"]
        save(root / "Depth" / depth.format(name), stored)
        save(root / "Depth" / f"a {name}.jpg", np.zeros((H, W), np.uint8))
    lists(root, line)


def write_dformer(root: Path) -> None:
    write_sagate(root, "RGB/a {0}.PNG Label/a {0}.png", "a {0}.png")


def write_names_alone(root: Path) -> None:
    write_sagate(root, "a {0}")


def write_counted_from_zero(root: Path) -> None:
    """As SA-Gate's authors name their files: the first frame of all is 0."""
    for name in (*TRAIN, *TEST):
        made, stem = frame(name), int(name) - 1
        save(root / "RGB" / f"{stem}.png", made["rgb"])
        save(root / "Label" / f"{stem}.png", made["label"])
        save(root / "Depth" / f"{stem}.png", made["depth"])
    for part, names in (("train", TRAIN), ("test", TEST)):
        lines = [f"RGB/{int(name) - 1}.png\tLabel/{int(name) - 1}.png" for name in names]
        (root / f"{part}.txt").write_text("\n".join(lines))


def write_numbered(root: Path) -> None:
    for name in (*TRAIN, *TEST):
        for kind, array in frame(name).items():
            save(root / kind / f"{name}.png", array)
    lists(root, "{0}", ending="\n\n")


def write_raw(root: Path) -> None:
    """As MATLAB does: axes the other way round; values 0 to 894, of which every class of 40 has some."""
    random = np.random.default_rng(5)
    classes = np.concatenate([np.arange(1, 41), random.integers(1, 41, 894 - 40)])
    frames = [frame(f"{number:04d}") for number in range(1, 59)]
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = np.stack([np.stack([each["rgb"][..., c].T for c in range(3)]) for each in frames])
        file["depths"] = np.stack([(each["depth"] / np.float32(1000)).T for each in frames])
        raw = [np.vectorize(lambda v: v and random.choice(np.flatnonzero(classes == v)) + 1) for _ in frames]
        file["labels"] = np.stack(
            [pick(each["label"].astype(int)).T.astype(np.uint16) for pick, each in zip(raw, frames, strict=True)]
        )
    scipy.io.savemat(root / "classMapping40.mat", {"mapClass": classes[None].astype(float)})
    split = {"trainNdxs": np.array([[3.0], [48.0], [58.0]]), "testNdxs": np.array([[1.0]])}
    scipy.io.savemat(root / "splits.mat", split)


WRITERS = {
    "esanet": write_esanet,
    "lists": write_lists,
    "absolute lists": write_absolute_lists,
    "sagate": write_sagate,
    "dformer": write_dformer,
    "names alone": write_names_alone,
    "counted from zero": write_counted_from_zero,
    "numbered": write_numbered,
    "raw": write_raw,
}


@pytest.fixture(params=WRITERS)
def root(request, tmp_path):
    WRITERS[request.param](tmp_path)
    return tmp_path


@pytest.mark.parametrize("split", PARTS)
def test_every_layout_gives_the_frames(root, split):
    dataset = open_dataset(DataConfig("nyudv2", root), split, ["rgb", "depth"])
    assert len(dataset) == len(PARTS[split])
    assert dataset.modalities == ("rgb", "depth")
    assert dataset.labels.names == NYU40
    for index, name in enumerate(PARTS[split]):
        read, made = dataset[index], frame(name)
        assert set(read) == {"rgb", "depth", "label"}
        assert (read["rgb"] == made["rgb"]).all()
        assert read["rgb"].dtype == read["label"].dtype == np.uint8
        in_mm = read["depth"] if read["depth"].dtype == np.uint16 else read["depth"] * 1000
        assert read["depth"].dtype in (np.uint16, np.float32)
        np.testing.assert_allclose(in_mm, made["depth"], atol=1e-2)
        assert (read["label"] == ids(made["label"])).all()
        assert all(array.flags.c_contiguous for array in read.values())


def test_thirteen_classes(root):
    dataset = open_dataset(DataConfig("nyudv2", root, label_set="nyu13"), "test", ["rgb"])
    assert dataset.labels.names == NYU13
    label, made = dataset[0]["label"], frame("0001")["label"]
    for value, name in ((1, "wall"), (2, "floor"), (4, "bed"), (25, "tv"), (40, "objects"), (39, "furniture")):
        assert set(label[made == value]) <= {NYU13.index(name)}
    assert (label[made == 0] == 255).all()


def test_only_what_is_asked_for_is_read(tmp_path):
    write_sagate(tmp_path)
    for path in (tmp_path / "Depth").glob("*0001*"):
        path.write_bytes(b"nothing")
    config = DataConfig("nyudv2", tmp_path)
    assert set(open_dataset(config, "test", ["rgb", "hha"])[0]) == {"rgb", "hha", "label"}
    with pytest.raises(ValueError, match="a 0001"):
        open_dataset(config, "test", ["rgb", "depth"])[0]
    made = open_dataset(config, "train", ["normal"])[0]
    assert set(made) == {"depth", "normal", "label"}


def test_pictures_of_depth_are_read_with_a_scale_alone(tmp_path):
    write_sagate(tmp_path)
    for path in (tmp_path / "Depth").glob("*.npy"):
        path.unlink()
    levels = np.arange(H * W, dtype=np.uint8).reshape(H, W)
    for name in (*TRAIN, *TEST):
        save(tmp_path / "Depth" / f"a {name}.png", levels)
    with pytest.raises(ValueError, match=r"a 0001\.png.*8 bits.*data\.depth_scale"):
        open_dataset(DataConfig("nyudv2", tmp_path), "test", ["depth"])[0]
    read = open_dataset(DataConfig("nyudv2", tmp_path, depth_scale=20.0), "test", ["depth"])[0]["depth"]
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, levels / 20.0, rtol=1e-6)


def test_a_wrong_convention_is_refused(tmp_path):
    write_lists(tmp_path)
    save(tmp_path / "masks" / "0001.png", frame("0001")["label"])
    with pytest.raises(ValueError, match=r"0001\.png.*zero_is_void"):
        open_dataset(DataConfig("nyudv2", tmp_path), "test", ["rgb"])[0]


def test_images_of_different_sizes_are_named(tmp_path):
    write_numbered(tmp_path)
    save(tmp_path / "depth" / "0001.png", np.ones((H, W + 1), np.uint16))
    with pytest.raises(ValueError, match=r"(?s)depth.*6×9.*0001"):
        open_dataset(DataConfig("nyudv2", tmp_path), "test", ["rgb", "depth"])[0]


@pytest.mark.parametrize("layout", ["numbered", "sagate", "lists", "esanet"])
def test_missing_files_are_named(tmp_path, layout):
    WRITERS[layout](tmp_path)
    gone = next(path for path in sorted(tmp_path.rglob("*0001*")) if path.parent.name.lower() == "rgb")
    gone.unlink()
    with pytest.raises(FileNotFoundError, match="0001"):
        open_dataset(DataConfig("nyudv2", tmp_path), "test", ["rgb"])


def test_unknown_folders_say_what_was_looked_for(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(ValueError, match=r"nyu_depth_v2_labeled\.mat.*Found pictures"):
        open_dataset(DataConfig("nyudv2", tmp_path), "train", ["rgb"])
    with pytest.raises(FileNotFoundError, match="nowhere"):
        open_dataset(DataConfig("nyudv2", tmp_path / "nowhere"), "train", ["rgb"])
    with pytest.raises(ValueError, match="layout 'esant' is unknown; did you mean esanet"):
        open_dataset(DataConfig("nyudv2", tmp_path, "esant"), "train", ["rgb"])
    with pytest.raises(ValueError, match=r"data\.root"):
        open_dataset(DataConfig("nyudv2"), "train", ["rgb"])


@pytest.mark.parametrize("layout", ["numbered", "sagate", "lists", "esanet", "raw"])
def test_named_layouts_that_are_not_there_fail_in_words(tmp_path, layout):
    with pytest.raises((ValueError, FileNotFoundError), match=str(tmp_path)):
        open_dataset(DataConfig("nyudv2", tmp_path, layout), "train", ["rgb"])


def test_empty_folders_and_lists(tmp_path):
    write_esanet(tmp_path)
    for path in (tmp_path / "test" / "labels_40").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="labels_40"):
        open_dataset(DataConfig("nyudv2", tmp_path), "test", ["rgb"])
    numbered = tmp_path / "numbered"
    write_numbered(numbered)
    (numbered / "test.txt").write_text("\r\n")
    with pytest.raises(ValueError, match=r"test\.txt: the list is empty"):
        open_dataset(DataConfig("nyudv2", numbered), "test", ["rgb"])


def test_raw_goes_to_other_processes_and_names_its_frames(tmp_path):
    write_raw(tmp_path)
    dataset = open_dataset(DataConfig("nyudv2", tmp_path), "train", ["rgb", "depth"])
    first = dataset[0]
    other = pickle.loads(pickle.dumps(dataset))
    assert (other[0]["rgb"] == first["rgb"]).all()
    assert "frame 58" in dataset.describe(1)
    with h5py.File(tmp_path / "changed.mat", "w") as file, h5py.File(tmp_path / "nyu_depth_v2_labeled.mat") as old:
        for name in old:
            file[name] = old[name][()]
        file["labels"][2] = 895
    (tmp_path / "changed.mat").rename(tmp_path / "nyu_depth_v2_labeled.mat")
    with pytest.raises(ValueError, match=r"frame 3: label 895"):
        open_dataset(DataConfig("nyudv2", tmp_path), "train", ["rgb", "depth"])[0]


def test_raw_names_what_is_damaged(tmp_path):
    write_raw(tmp_path)
    (tmp_path / "nyu_depth_v2_labeled.mat").write_bytes(b"MATLAB 5.0")
    with pytest.raises(ValueError, match=r"nyu_depth_v2_labeled\.mat"):
        open_dataset(DataConfig("nyudv2", tmp_path), "train", ["rgb", "depth"])[0]
    scipy.io.savemat(tmp_path / "splits.mat", {"other": 1})
    with pytest.raises(ValueError, match=r"splits\.mat.*trainNdxs"):
        open_dataset(DataConfig("nyudv2", tmp_path), "train", ["rgb"])
    (tmp_path / "splits.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"splits\.mat"):
        open_dataset(DataConfig("nyudv2", tmp_path), "train", ["rgb"])


@pytest.mark.skipif(not NYUDV2.is_dir(), reason=f"{NYUDV2} is not there")
def test_the_real_frames():
    for split, count in (("train", 718), ("validation", 77), ("test", 654)):
        dataset = open_dataset(DataConfig("nyudv2", NYUDV2), split, ["rgb", "depth"])
        assert len(dataset) == count
        for index in (0, count // 2, count - 1):
            name = dataset.frames[index]["rgb"].stem
            assert name in (NYUDV2 / f"{'test' if split == 'test' else 'train'}.txt").read_text().split()
            read = dataset[index]
            stored = np.asarray(Image.open(NYUDV2 / "depth" / f"{name}.png"))
            np.testing.assert_allclose(read["depth"], (stored + 0.5) / 25.5 * 1000, atol=0.5)
            assert read["depth"].min() >= 20
            label = np.asarray(Image.open(NYUDV2 / "label" / f"{name}.png"))
            assert (read["label"] == ids(label)).all()
            rgb = np.asarray(Image.open(NYUDV2 / "rgb" / f"{name}.jpg").convert("RGB")).astype(int)
            assert np.abs(rgb - read["rgb"]).max() <= 6  # two decoders
            assert read["rgb"].shape == (480, 640, 3)


@pytest.mark.skipif(not NYUDV2.is_dir(), reason=f"{NYUDV2} is not there")
def test_no_validation_frame_is_beside_a_training_frame():
    """Test frames lie between them, and the official parts share no scene: so training shows no scene of validation."""
    train = {int(name) for name in (NYUDV2 / "train.txt").read_text().split()}
    validation = {number for block in BLOCKS for number in block}
    assert validation < train
    assert not {number + step for number in validation for step in (-1, 1)} & (train - validation)


def test_training_on_validation_frames_too(root):
    dataset = open_dataset(DataConfig("nyudv2", root, include_validation=True), "train", ["rgb", "depth"])
    expected = [frame(name)["rgb"] for name in (*PARTS["train"], *PARTS["validation"])]
    assert [np.array_equal(dataset[i]["rgb"], rgb) for i, rgb in enumerate(expected)] == [True] * len(dataset)
    assert ("48" in dataset.describe(2) or "47" in dataset.describe(2)) and dataset.intrinsics(2) is not None


@pytest.mark.parametrize("names", [("0007", "0048"), ("left", "right")])
def test_copies_without_the_data_sets_numbers_are_told_so(tmp_path, names):
    for name in names:
        for kind, array in frame("0001").items():
            save(tmp_path / kind / f"{name}.png", array)
    for part in ("train", "test"):
        (tmp_path / f"{part}.txt").write_text("\n".join(names))
    assert len(open_dataset(DataConfig("nyudv2", tmp_path), "test", ["rgb"])) == 2
    with pytest.raises(ValueError, match=rf"numbers of the training frames, counted from 1 .* got {names[0]}\.png"):
        open_dataset(DataConfig("nyudv2", tmp_path), "train", ["rgb"])


def test_validation_and_test_have_lists_of_their_own(tmp_path):
    write_lists(tmp_path)
    line = "rgb/{0}.png\tmasks/{0}.png\tdepth/{0}.png\n"
    (tmp_path / "test.txt").write_text("".join(line.format(name) for name in TRAIN[:2]))
    opened = {split: open_dataset(DataConfig("nyudv2", tmp_path, "lists"), split, ["rgb"]) for split in PARTS}
    assert {split: len(dataset) for split, dataset in opened.items()} == {"train": 3, "validation": 1, "test": 2}
    for name in ("val.txt", "train.txt"):
        (tmp_path / name).rename(tmp_path / f"nyu_{name}")
    (tmp_path / "old_train.txt").write_text("")
    assert len(open_dataset(DataConfig("nyudv2", tmp_path, "lists"), "validation", ["rgb"])) == 1
    with pytest.raises(ValueError, match=r"nyu_train\.txt or old_train\.txt"):
        open_dataset(DataConfig("nyudv2", tmp_path, "lists"), "train", ["rgb"])


def test_lists_of_columns_are_not_taken_for_numbers(tmp_path):
    write_numbered(tmp_path)
    lists(tmp_path, "rgb/{0}.png\tlabel/{0}.png\tdepth/{0}.png")
    with pytest.raises(ValueError, match=r"data\.layout=lists"):
        open_dataset(DataConfig("nyudv2", tmp_path), "train", ["rgb", "depth"])


def test_the_camera_is_of_the_size_of_the_files(tmp_path):
    write_numbered(tmp_path)
    camera = open_dataset(DataConfig("nyudv2", tmp_path), "test", ["rgb", "depth"]).intrinsics(0)
    expected = [518.857901 * W / 640, 519.469611 * H / 480, 325.58245 * W / 640, 253.73617 * H / 480]
    assert [camera[0, 0], camera[1, 1], camera[0, 2], camera[1, 2]] == pytest.approx(expected)
