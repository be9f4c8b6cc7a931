# SPDX-License-Identifier: Apache-2.0
"""NYUDv2 (Silberman et al. 2012), the standard split of 795 and 654 frames, in the layouts that people have.

It has no third part: `nyudv2_split` takes the validation frames out of the training frames. Of a copy with three lists
(train, val and test), each is a split as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from cen_model.classes import LABEL_SETS, NYU13_OF_NYU40, NYU40, LabelSet
from cen_model.data.data_config import DataConfig, Split
from cen_model.data.formats.file_dataset import (
    FileDataset,
    Files,
    columns,
    find_image,
    images_in,
    label_reader,
    paired_lists,
    read_lines,
    refuse_missing,
)
from cen_model.data.formats.image_files import read_depth, read_gray, read_rgb, read_scaled_depth
from cen_model.data.formats.label_conventions import FROM_ZERO, ZERO_IS_VOID, Convention
from cen_model.data.formats.layouts import Layout, folder
from cen_model.data.formats.nyudv2_raw import RawNYUDv2, open_raw
from cen_model.data.formats.nyudv2_split import keep
from cen_model.utils.validation import look_up

CAMERA = np.array([[518.857901, 0, 325.58245], [0, 519.469611, 253.73617], [0, 0, 1]])
"""The Kinect's color camera at 640×480 (the authors' toolbox), to which depth is registered."""
SIZE = (480, 640)

_PARTS = {"train": "train", "validation": "train", "test": "test"}
"""The official part that has the frames of a split."""


def label_set(config: DataConfig) -> LabelSet:
    """The 40 classes, or 13. Raises ValueError for others."""
    known = {name: LABEL_SETS[name] for name in ("nyu40", "nyu13")}
    return look_up("data.label_set", config.label_set or "nyu40", known)


def _dataset(
    config: DataConfig, frames: list[Files], depth: Callable[[Path], np.ndarray], convention: Convention
) -> FileDataset:
    refuse_missing(frames)
    labels = label_set(config)
    merge = NYU13_OF_NYU40 if labels is LABEL_SETS["nyu13"] else None
    readers = {"rgb": read_rgb, "depth": depth, "hha": read_rgb, "label": label_reader(convention, len(NYU40), merge)}
    return FileDataset(frames, readers, labels, CAMERA, SIZE)


def _of_split(frames: list[Files], split: Split) -> list[Files]:
    """Return those frames of an official part that belong to a split."""
    return keep(frames, [frame["rgb"].name for frame in frames], split)


def _numbered(config: DataConfig, split: Split) -> FileDataset:
    """rgb/, depth/ and label/ with the same names, train.txt and test.txt."""
    root = folder(config)
    lines = read_lines(root / f"{_PARTS[split]}.txt")
    if wide := next((line for line in lines if len(columns(line)) > 1), None):
        raise ValueError(f"{root / _PARTS[split]}.txt: {wide!r} has several columns: is this data.layout=lists?")
    frames = [{name: find_image(root / name, Path(line).stem) for name in ("rgb", "depth", "label")} for line in lines]
    return _dataset(config, _of_split(frames, split), depth_of_any_bits, ZERO_IS_VOID)


def depth_of_any_bits(path: Path) -> np.ndarray:
    """16 bits are millimeters; 8 bits 25.5 levels a meter, in the middle of each, without holes."""
    values = read_gray(path)
    return values if values.dtype == np.uint16 else np.rint((values + 0.5) / 25.5 * 1000).astype(np.uint16)


def _lists(config: DataConfig, split: Split) -> FileDataset:
    """Lists of tab-separated paths of color, label and depth (light-weight RefineNet, CEN, TokenFusion)."""
    root, frames = folder(config), []
    path, has_three = _list_of(root, split)
    for line in read_lines(path):
        paths = [root / each for each in columns(line)]
        if len(paths) != 3:
            raise ValueError(f"{path}: expected three columns (color, label, depth) between tabs, found {line!r}")
        frames.append(dict(zip(("rgb", "label", "depth"), paths, strict=True)))
    frames = frames if has_three else _of_split(frames, split)
    return _dataset(config, frames, partial(meters, units=5000), FROM_ZERO)


def _list_of(root: Path, split: Split) -> tuple[Path, bool]:
    """Return the list with the frames of a split, and whether there are three lists, each of a split of its own.

    Of two lists, val or test is the one of the test frames.
    """
    lists = {name: _lists_named(root, name) for name in ("train", "val", "test")}
    has_three = all(lists.values())
    own = {"train": "train", "validation": "val" if has_three else "train", "test": "test" if lists["test"] else "val"}
    found = lists[own[split]]
    if not found:
        raise FileNotFoundError(f"{root}: no list *{own[split]}*.txt")
    if len(found) > 1:
        raise ValueError(f"{root}: which list is meant, {' or '.join(each.name for each in found)}? Keep one there")
    return found[0], has_three


def _lists_named(root: Path, name: str) -> list[Path]:
    return [root / f"{name}.txt"] if (root / f"{name}.txt").is_file() else sorted(root.glob(f"*{name}*.txt"))


def meters(path: Path, units: float) -> np.ndarray:
    """Depth of a 16-bit image with so many units a meter: float32 meters, 0 = hole."""
    return read_depth(path).astype(np.float32) / units


def _sagate(config: DataConfig, split: Split) -> FileDataset:
    """RGB/, Label/, and HHA/ or Depth/, with lists of pairs (SA-Gate, CMX, DFormer)."""
    depth = partial(read_scaled_depth, scale=config.depth_scale)
    return _dataset(config, _of_split(paired_lists(folder(config), _PARTS[split]), split), depth, ZERO_IS_VOID)


def _esanet(config: DataConfig, split: Split) -> FileDataset:
    """train/ and test/ with rgb/, depth/ (its holes filled) or depth_raw/, and labels_40/ (ESANet)."""
    root = folder(config) / _PARTS[split]
    depth = "depth" if (root / "depth").is_dir() else "depth_raw"
    folders = {"rgb": "rgb", "depth": depth, "label": "labels_40"}
    stems = [path.stem for path in images_in(root / "labels_40")]
    if not stems:
        raise ValueError(f"{root / 'labels_40'}: no images there")
    frames = [{name: find_image(root / each, stem) for name, each in folders.items()} for stem in stems]
    return _dataset(config, _of_split(frames, split), read_depth, ZERO_IS_VOID)


def _raw(config: DataConfig, split: Split) -> RawNYUDv2:
    return open_raw(config, split, label_set(config), CAMERA)


LAYOUTS = {
    "raw": Layout(("nyu_depth_v2_labeled.mat",), _raw),
    "esanet": Layout(("train/labels_40", "test/labels_40"), _esanet),
    "sagate": Layout(("RGB", "Label", "train.txt", "test.txt"), _sagate),
    "numbered": Layout(("rgb", "depth", "label", "train.txt", "test.txt"), _numbered),
    "lists": Layout(("*train*.txt",), _lists),
}
