# SPDX-License-Identifier: Apache-2.0
"""`cen data`: what is wrong with data is found and named; what is written is what was read."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from cen_model.cli.data import main
from cen_model.data.catalog import open_dataset
from cen_model.data.data_config import DataConfig
from cen_model.data.derived import derive
from cen_model.data.geometry import default_intrinsics
from cen_model.data.tools.check import DEPTHS, ROOMS, Found, doubts

SIZE = (24, 32)


def write(folder, stem, seed, depth=2000, label=None):
    random = np.random.default_rng(seed)
    images = {
        "rgb": random.integers(0, 256, (*SIZE, 3), np.uint8),
        "depth": np.full(SIZE, depth, np.uint16),
        "label": random.integers(0, 3, SIZE, np.uint8) if label is None else np.full(SIZE, label, np.uint8),
    }
    images["depth"][:6] = 0
    for name, image in images.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name / f"{stem}.png"), image[..., ::-1] if image.ndim == 3 else image)
    return images


@pytest.fixture
def data(tmp_path):
    """Five good frames, and their description."""
    frames = {split: [write(tmp_path / split, i, 10 * (split == "test") + i) for i in range(n)] for split, n in SPLITS}
    described = {
        "classes": {"floor": [10, 20, 30], "wall": [200, 0, 0], "chair": [0, 200, 0]},
        "labels": "from_zero",
        "intrinsics": [30.0, 31.0, 16.0, 12.0],
        **{split: {name: f"{split}/{name}" for name in ("rgb", "depth", "label")} for split, _ in SPLITS},
    }
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    return tmp_path, frames


SPLITS = (("train", 3), ("test", 2))


def check(root, capsys, *options):
    code = main(["check", "--dataset", "custom", "--root", str(root / "data.yaml"), *options])
    return code, " ".join(capsys.readouterr().out.split())


def test_good_data_is_counted(data, capsys, tmp_path):
    root, frames = data
    code, said = check(root, capsys, "--json", str(tmp_path / "figures.json"))
    assert code == 0 and "no problems" in said
    train = json.loads((tmp_path / "figures.json").read_text())["splits"]["train"]
    assert train["frames"] == 3 and train["sizes"] == {"24×32": 3}
    labels = np.concatenate([frame["label"].ravel() for frame in frames["train"]])
    assert train["pixels"] == {
        **{name: int((labels == i).sum()) for i, name in enumerate(("floor", "wall", "chair"))},
        "void": 0,
    }
    assert train["depth"]["holes"] == pytest.approx(6 / 24)
    assert train["depth"]["50 %"] == pytest.approx(2.0, rel=0.03)


def test_everything_that_is_wrong_is_named_and_the_rest_is_read(data, capsys):
    root, _ = data
    (root / "train" / "rgb" / "0.png").write_bytes(b"no image")
    cv2.imwrite(str(root / "train" / "label" / "1.png"), np.full(SIZE, 7, np.uint8))
    cv2.imwrite(str(root / "test" / "depth" / "1.png"), np.full((12, 16), 900, np.uint16))
    code, said = check(root, capsys)
    assert code == 1
    assert "0.png: cannot be read" in said
    assert "label values 7 are no classes" in said
    assert "differ in size" in said and "depth/1.png" in said
    assert said.endswith("3 problems")


def test_a_frame_in_two_splits_and_one_that_is_there_twice(data, capsys):
    root, _ = data
    image = (root / "train" / "rgb" / "0.png").read_bytes()
    (root / "train" / "rgb" / "2.png").write_bytes(image)
    (root / "test" / "rgb" / "1.png").write_bytes(image)
    code, said = check(root, capsys)
    assert code == 1
    assert "shown twice" in said and "2.png" in said
    assert "in train and elsewhere" in said and "test/rgb/1.png" in said


@pytest.mark.parametrize(
    ("depth", "hint"),
    [(2, "0.001 times"), (20, "0.01 times"), (0, "every pixel is a hole"), (0, "0.png: depth is a hole")],
)
def test_depth_of_another_unit(tmp_path, capsys, depth, hint):
    for i in range(2):
        write(tmp_path / "train", i, i, depth=depth)
        write(tmp_path / "test", i, 5 + i, depth=depth)
    described = {"classes": ["a", "b", "c"], "labels": "from_zero"}
    described |= {part: {name: f"{part}/{name}" for name in ("rgb", "depth", "label")} for part in ("train", "test")}
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    code, said = check(tmp_path, capsys)
    assert code == 1 and hint in said


@pytest.mark.parametrize(("units", "hint"), [(5, "5 times"), (0.2, "0.2 times"), (1, None)])
def test_units_that_datasets_are_known_to_mix_up_are_found_in_rooms(units, hint):
    """Depth / 5000 m that is read as millimeters, and the other way round."""
    found = Found(frames=1)
    depth = np.random.default_rng(0).uniform(1.5, 4.5, 10000)
    found.depths += np.histogram(depth * units, DEPTHS)[0]
    said = doubts(found, 0, ROOMS)
    assert len(said) == (hint is not None) and all(hint in each for each in said)


@pytest.mark.parametrize(("frames", "classes", "doubted"), [(60, 40, True), (3, 40, False), (60, 13, False)])
def test_files_of_13_classes_that_are_read_as_40_are_doubted(frames, classes, doubted):
    found = Found(frames=frames)
    found.pixels[:13] = 1000
    assert bool(doubts(found, classes)) is doubted
    assert not doubted or "none after class 12 occurs in 60 frames" in doubts(found, classes)[0]


def test_a_split_that_cannot_be_opened_is_a_problem_and_the_others_are_read(data, capsys):
    root, _ = data
    (root / "test" / "rgb" / "1.png").unlink()
    code, said = check(root, capsys)
    assert code == 1
    assert "not there: test" in said and "without a partner, such as 1" in said
    assert "│ train │ 3 │" in said


def test_nothing_to_open_is_another_code(data, capsys):
    root, _ = data
    for part in ("train", "test"):
        (root / part / "rgb" / "1.png").unlink()
    code, said = check(root, capsys)
    assert code == 2 and "train" in said and "test" in said


def test_depth_of_few_values_and_a_class_that_never_occurs_are_no_problems(data, capsys):
    root, _ = data
    cv2.imwrite(str(root / "test" / "label" / "0.png"), np.zeros(SIZE, np.uint8))
    cv2.imwrite(str(root / "test" / "label" / "1.png"), np.zeros(SIZE, np.uint8))
    code, said = check(root, capsys)
    assert code == 0
    assert "only 1 different values" in said and "no pixel of class 1, 2" in said
    for part, n in SPLITS:
        for i in range(n):
            fine = 1000 + 300 * i + np.arange(SIZE[0] * SIZE[1], dtype=np.uint16).reshape(SIZE) % 250
            cv2.imwrite(str(root / part / "depth" / f"{i}.png"), fine)
    assert "different values" not in check(root, capsys)[1]


def test_labels_that_may_be_one_off_are_pointed_at(data, capsys):
    root, _ = data
    for i in range(3):
        cv2.imwrite(str(root / "train" / "label" / f"{i}.png"), np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 2)
    code, said = check(root, capsys)
    assert code == 1 and "class 2 alone never occurs, the last one" in said


def test_several_processes_find_the_same(data, capsys):
    root, _ = data
    (root / "train" / "rgb" / "0.png").write_bytes(b"no image")
    assert check(root, capsys, "--workers", "2") == check(root, capsys)


def test_a_frame_that_a_list_names_twice(data, capsys):
    root, _ = data
    for name in ("rgb", "depth", "label"):
        (root / "train" / name / "list.txt").write_text("0.png\r\n1.png\r\n0.png\r\n")
    described = yaml.safe_load((root / "data.yaml").read_text())
    described["train"] = {name: f"train/{name}/list.txt" for name in described["train"]}
    (root / "data.yaml").write_text(yaml.safe_dump(described))
    code, said = check(root, capsys)
    assert code == 1 and "is listed again" in said


def test_a_training_configuration_says_which_data(data, capsys):
    root, _ = data
    (root / "run.yaml").write_text("data: {dataset: custom, root: nowhere.yaml, label_set: null}\nseed: 3\n")
    assert main(["check", str(root / "run.yaml")]) == 2
    assert "nowhere.yaml" in capsys.readouterr().out
    for override in ([f"data.root={root}/data.yaml"], ["--data.root", f"{root}/data.yaml"]):
        assert main(["check", str(root / "run.yaml"), *override]) == 0
    (root / "run.yaml").write_text(": [")
    assert main(["check", str(root / "run.yaml")]) == 2
    assert "not YAML" in capsys.readouterr().out


def test_frames_are_prepared_at_another_size(data):
    root, frames = data
    options = ["--dataset", "custom", "--root", str(root / "data.yaml"), "--output", str(root / "small")]
    assert main(["prepare", *options, "--size", "12x16"]) == 0
    small = open_dataset(DataConfig(dataset="custom", root=root / "small" / "dataset.yaml"), "test", ("rgb", "depth"))
    frame, whole = small[1], frames["test"][1]
    means = whole["rgb"].reshape(12, 2, 16, 2, 3).mean((1, 3))
    assert np.abs(frame["rgb"] - means).max() <= 1
    assert np.array_equal(frame["label"], whole["label"][::2, ::2])
    assert np.allclose(frame["depth"], whole["depth"][::2, ::2] / 1000)
    assert np.array_equal(small.intrinsics(0), [[15, 0, 8], [0, 15.5, 6], [0, 0, 1]])


def test_frames_are_chosen(data, capsys):
    root, _ = data
    options = ["--dataset", "custom", "--root", str(root / "data.yaml"), "--output", str(root / "sheet.png")]
    assert main(["show", *options, "--indices", "2,0"]) == 0
    assert "frames 2, 0" in capsys.readouterr().out
    for wrong in (["--indices", "[3]"], ["--frames", "0"]):
        assert main(["show", *options, *wrong]) == 2


def test_what_is_prepared_is_what_was_read(data, capsys):
    root, frames = data
    options = ["--dataset", "custom", "--root", str(root / "data.yaml"), "--output", str(root / "prepared")]
    assert main(["prepare", *options, "--modalities", "rgb,depth,normal"]) == 0
    names = ("rgb", "depth", "normal")
    again = open_dataset(DataConfig(dataset="custom", root=root / "prepared" / "dataset.yaml"), "test", names)
    assert again.labels.names == ("floor", "wall", "chair") and again.labels.colors[1] == (200, 0, 0)
    assert set(again.modalities) == set(names)
    assert again.intrinsics(0)[1, 1] == 31.0
    for index, frame in enumerate(frames["test"]):
        read = again[index]
        assert np.array_equal(read["rgb"], frame["rgb"]) and np.array_equal(read["label"], frame["label"])
        assert np.array_equal(read["normal"], derive("normal", frame, again.intrinsics(0)))
        assert np.allclose(read["depth"], frame["depth"] / 1000)


def test_preparing_goes_on_where_it_was_interrupted(data):
    root, _ = data
    options = ["--dataset", "custom", "--root", str(root / "data.yaml"), "--output", str(root / "prepared")]
    assert main(["prepare", *options]) == 0
    kept, lost = (root / "prepared" / "train" / "rgb" / f"{i:06d}.png" for i in (1, 2))
    written = kept.stat().st_mtime_ns
    lost.unlink()
    assert main(["prepare", *options]) == 0
    assert lost.is_file() and kept.stat().st_mtime_ns == written


@pytest.mark.parametrize("other", [["--size", "10x20"], ["--modalities", "[rgb,depth,normal]"]])
def test_a_folder_never_holds_frames_of_two_kinds(data, capsys, other):
    root, _ = data
    options = ["--dataset", "custom", "--root", str(root / "data.yaml"), "--output", str(root / "prepared")]
    assert main(["prepare", *options]) == 0
    assert main(["prepare", *options, *other]) == 2
    assert "choose an empty folder" in capsys.readouterr().out.replace("\n", " ")


def test_a_configuration_says_which_modalities_are_looked_at(data, capsys):
    root, _ = data
    config = root / "config.yaml"
    model = "model: {modalities: [depth, normal], target: rgb}\n"
    config.write_text(f"task: translation\n{model}data: {{dataset: custom, root: {root / 'data.yaml'}}}\n")
    main(["show", str(config), "--output", str(root / "a.png")])
    main(["show", str(config), "--modalities", "depth", "--output", str(root / "b.png")])
    widths = [Image.open(root / name).width for name in ("a.png", "b.png")]
    assert widths[0] > 1.5 * widths[1]
    config.write_text("data: {datset: custom}\n")
    assert main(["check", str(config)]) == 2
    assert "datset" in capsys.readouterr().out


@pytest.mark.parametrize("augmented", [False, True])
def test_a_contact_sheet_shows_every_modality(data, augmented):
    root, _ = data
    modalities = "[rgb,depth,normal,shade,edge,texture,hha]"
    options = ["--dataset", "custom", "--root", str(root / "data.yaml"), "--modalities", modalities, "--frames", "3"]
    output = root / "sheet.png"
    assert main(["show", *options, "--output", str(output), "--augmented", str(augmented).lower()]) == 0
    with Image.open(output) as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape[1] > 9 * 256 and pixels.shape[0] > 3 * 192
    if not augmented:  # the label's colors are there, in its own column
        column = pixels[:, 7 * 264 + 8 : 8 * 264]
        assert all((column == color).all(2).any() for color in ((10, 20, 30), (200, 0, 0), (0, 200, 0)))


def test_only_the_synthetic_scenes_that_are_shown_are_rendered(tmp_path, monkeypatch):
    pytest.importorskip("trimesh", reason="scenes need trimesh: pip install '.[sim]'")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    options = ["--dataset", "synthetic", "--synthetic.size", "24x32", "--frames", "2"]
    assert main(["show", *options, "--output", str(tmp_path / "sheet.png")]) == 0
    assert len([path for path in (tmp_path / "cache").rglob("*") if path.is_file()]) == 2


def test_packing_by_command(data, capsys):
    root, frames = data
    file = root / "packed.safetensors"
    options = ["--dataset", "custom", "--root", str(root / "data.yaml"), "--size", "[24,32]", "--output", str(file)]
    assert main(["pack", *options]) == 0
    packed = open_dataset(DataConfig(dataset="packed", root=file), "test", ("rgb", "depth"))
    assert len(packed) == 2
    assert np.array_equal(packed[1]["label"], frames["test"][1]["label"])
    assert np.array_equal(packed[1]["depth"], frames["test"][1]["depth"])
    assert not np.allclose(packed.intrinsics(0), default_intrinsics(SIZE))


def test_packing_without_the_test_split(data, capsys):
    root, frames = data
    file = root / "packed.safetensors"
    options = ["--dataset", "custom", "--root", str(root / "data.yaml"), "--size", "24x32", "--output", str(file)]
    assert main(["pack", *options, "--train-only", "true"]) == 0
    assert "without test" not in capsys.readouterr().out, "nobody asked for the test split"
    config = DataConfig(dataset="packed", root=file)
    packed = open_dataset(config, "train", ("rgb", "depth"))
    assert len(packed) == 3 and np.array_equal(packed[2]["label"], frames["train"][2]["label"])
    for split in ("validation", "test"):
        with pytest.raises(ValueError, match=f"has no {split} frames, only train"):
            open_dataset(config, split, ("rgb", "depth"))


@pytest.fixture
def nyudv2(tmp_path):
    """Two training frames, one validation frame and one test frame in the layout of numbered images."""
    parts = {"train": ("0003", "0048", "0058"), "test": ("0001",)}
    for part, names in parts.items():
        for name in names:
            write(tmp_path / "nyu", name, int(name))
        (tmp_path / "nyu" / f"{part}.txt").write_text("\n".join(names))
    return tmp_path / "nyu"


def test_validation_frames_are_checked_and_packed_as_a_split(nyudv2, capsys):
    """As a split of their own, even by a configuration that trains on them; they are no frames in two splits then."""
    config, file = nyudv2 / "config.yaml", nyudv2 / "packed.safetensors"
    config.write_text(f"data: {{dataset: nyudv2, root: {nyudv2}, include_validation: true}}\n")
    assert main(["check", str(config)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert all(row in said for row in ("│ train │ 2 │", "│ validation │ 1 │", "│ test │ 1 │"))
    assert main(["pack", str(config), "--size", "24x32", "--output", str(file), "--train-only", "true"]) == 0
    opened = {split: open_dataset(DataConfig("packed", file), split, ("rgb",)) for split in ("train", "validation")}
    names = {split: [dataset.describe(i)[:4] for i in range(len(dataset))] for split, dataset in opened.items()}
    assert names == {"train": ["0003", "0058"], "validation": ["0048"]}
    assert main(["pack", str(config), "--size", "24x32", "--output", str(file)]) == 0
    assert open_dataset(DataConfig("packed", file), "test", ("rgb",)).describe(0)[:4] == "0001"
    assert len(open_dataset(DataConfig("packed", file, include_validation=True), "train", ("rgb",))) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "--dataset", "nyudv2"], "data.root: name the folder"),
        (["check", "--dataset", "nyu"], "did you mean nyudv2"),
        (["check", "--root", "mine"], "data.root: synthetic scenes have no folder, got mine"),
        (["pack", "--size", "0x10", "--output", "x"], "data.size: expected at least 1"),
        (["show", "--dataset", "custom", "--root", "nowhere.yaml", "--output", "x.png"], "nowhere.yaml"),
    ],
)
def test_mistakes_are_explained(arguments, said, capsys):
    assert main(arguments) == 2
    assert said in " ".join(capsys.readouterr().out.split())


def test_without_a_command_it_says_what_there_is(capsys):
    assert main([]) == 2
    said = capsys.readouterr().err
    assert all(f"cen data {command} " in said for command in ("check", "show", "prepare", "pack"))
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == said
    assert main(["chek"]) == 2
    assert "did you mean check" in capsys.readouterr().out
