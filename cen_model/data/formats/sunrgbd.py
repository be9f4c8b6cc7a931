# SPDX-License-Identifier: Apache-2.0
"""SUN RGB-D (Song et al. 2015), 5285 and 5050 frames of 37 classes, in the layouts that people have.

It has no third part: validation takes every tenth block of 50 training frames, in the order of the authors' toolbox.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from cen_model.classes import LABEL_SETS
from cen_model.data.data_config import DataConfig, Split
from cen_model.data.formats.file_dataset import (
    FileDataset,
    Files,
    images_in,
    label_reader,
    paired_lists,
    read_lines,
    refuse_missing,
)
from cen_model.data.formats.image_files import read_depth, read_rgb, read_scaled_depth
from cen_model.data.formats.label_conventions import ZERO_IS_VOID, to_ids
from cen_model.data.formats.layouts import Layout, folder
from cen_model.data.formats.matlab import MatFile, load_mat

Frame = TypeVar("Frame")

LABELS = LABEL_SETS["sun37"]
TEST_FRAMES = 5050
"""In re-exports the frames are numbered from 1; the first so many are the test frames."""

_PARTS = {"train": "train", "validation": "train", "test": "test"}
"""The official part that has the frames of a split."""
_BLOCK = 50
"""Neighboring frames often show one scene, so validation takes whole blocks."""
_HOME = "/n/fs/sun3d/data/SUNRGBD/"  # on the authors' machine, in front of every path


def keep(frames: Sequence[Frame], split: Split) -> list[Frame]:
    """Return those frames of an official part, all of them in the order of the toolbox, that belong to a split.

    Raises:
        ValueError: no frame is left.
    """
    if split == "test":
        return list(frames)
    kept = [frame for i, frame in enumerate(frames) if (i // _BLOCK % 10 == 4) == (split == "validation")]
    if not kept:
        raise ValueError(f"none of {len(frames)} SUN RGB-D frames is for {split}: expected all 5285 training frames")
    return kept


def shifted_depth(path: Path) -> np.ndarray:
    """Depth of the original files, rotated by three bits: uint16 mm."""
    values = read_depth(path)
    return (values >> 3) | (values << 13)


class Original(FileDataset):
    """The authors' tree; the labels are in one MATLAB file of the toolbox.

    Args:
        places: of the frames in that file.
        cameras: (3, 3) of every frame: there were four of them.
    """

    def __init__(
        self, frames: Sequence[Files], segmentations: MatFile, places: Sequence[int], cameras: Sequence[np.ndarray]
    ) -> None:
        super().__init__(frames, {"rgb": read_rgb, "depth": shifted_depth}, LABELS)
        self._segmentations, self._places, self._cameras = segmentations, places, cameras

    def intrinsics(self, index: int) -> np.ndarray | None:
        return self._cameras[index]

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        values = self._segmentations.read("SUNRGBD2Dseg/seglabel", self._places[index]).T.astype(np.int64)
        ids = to_ids(values, ZERO_IS_VOID, len(LABELS.names), self._segmentations.path)
        return self.checked({**super().__getitem__(index), "label": ids}, index)


def _original(config: DataConfig, split: Split) -> Original:
    root = folder(config)
    toolbox = root / "SUNRGBDtoolbox"
    listed = _variable(toolbox / "traintestSUNRGBD" / "allsplit.mat", f"all{_PARTS[split]}")
    chosen = {str(scene).rstrip("/") for scene in listed}
    found: list[tuple[Files, int, np.ndarray]] = []
    for place, meta in enumerate(_variable(toolbox / "Metadata" / "SUNRGBDMeta.mat", "SUNRGBDMeta")):
        scene = str(meta["rgbpath"]).rsplit("/", 2)[0]
        if scene in chosen:
            there = root / "SUNRGBD" / scene.removeprefix(_HOME)
            depth = next((there / each for each in ("depth_bfx", "depth") if (there / each).is_dir()), there / "depth")
            files = {"rgb": there / "image" / str(meta["rgbname"]), "depth": depth / str(meta["depthname"])}
            found.append((files, place, np.asarray(meta["K"], np.float64)))
    if len(found) != len(chosen):
        raise ValueError(f"{toolbox}: of {len(chosen)} frames of allsplit.mat, SUNRGBDMeta.mat describes {len(found)}")
    frames, places, cameras = zip(*keep(found, split), strict=True)
    refuse_missing(frames)
    return Original(frames, MatFile(toolbox / "Metadata" / "SUNRGBD2Dseg.mat"), places, cameras)


def _variable(path: Path, name: str) -> np.ndarray:
    variables = load_mat(path)
    if name not in variables:
        there = ", ".join(each for each in variables if not each.startswith("__"))
        raise ValueError(f"{path}: no variable {name}; there are {there or 'none'}")
    return variables[name]


def _files(frames: list[Files], depth: Callable[[Path], np.ndarray]) -> FileDataset:
    refuse_missing(frames)
    readers = {"rgb": read_rgb, "depth": depth, "hha": read_rgb, "label": label_reader(ZERO_IS_VOID, len(LABELS.names))}
    return FileDataset(frames, readers, LABELS)


def _exported(config: DataConfig, split: Split) -> FileDataset:
    """image/, depth/ and label/ of files numbered from 1; depth as in the original."""
    root = folder(config)
    frames = []
    images, depths = _by_number(root / "image"), _by_number(root / "depth")
    for number, label in sorted(_by_number(root / "label").items()):
        if (number > TEST_FRAMES) == (split != "test"):
            for kind, found in (("image", images), ("depth", depths)):
                if number not in found:
                    raise FileNotFoundError(f"{label}: no image number {number} in {root / kind}")
            frames.append({"rgb": images[number], "depth": depths[number], "label": label})
    if not frames:
        side = "up to" if split == "test" else "above"
        raise ValueError(f"{root / 'label'}: no label numbered {side} {TEST_FRAMES}")
    return _files(keep(frames, split), shifted_depth)


def _by_number(where: Path) -> dict[int, Path]:
    """Images by the number at the end of their names, as in img-000001.jpg."""
    numbers = {path: re.search(r"\d+$", path.stem) for path in images_in(where)}
    return {int(number[0]): path for path, number in numbers.items() if number}


def _dformer(config: DataConfig, split: Split) -> FileDataset:
    """RGB/, Depth/ or HHA/, and labels, with lists of pairs (SA-Gate, CMX, DFormer)."""
    depth = partial(read_scaled_depth, scale=config.depth_scale)
    return _files(keep(paired_lists(folder(config), _PARTS[split]), split), depth)


def _esanet(config: DataConfig, split: Split) -> FileDataset:
    """The authors' tree with labels as .npy, and a list of each kind of file (ESANet)."""
    root = folder(config)
    columns = {name: read_lines(root / f"{_PARTS[split]}_{name}.txt") for name in ("rgb", "depth", "label")}
    lengths = {name: len(lines) for name, lines in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{root}: the lists of {_PARTS[split]} differ in length: {lengths}")
    base = root if (root / columns["rgb"][0]).is_file() else root / "SUNRGBD"
    frames = [
        {name: base / path for name, path in zip(columns, paths, strict=True)}
        for paths in zip(*columns.values(), strict=True)
    ]
    return _files(keep(frames, split), shifted_depth)


LAYOUTS = {
    "esanet": Layout(("train_rgb.txt", "train_depth.txt", "train_label.txt"), _esanet),
    "original": Layout(("SUNRGBD", "SUNRGBDtoolbox"), _original),
    "dformer": Layout(("RGB", "[Ll]abel*", "train.txt", "test.txt"), _dformer),
    "exported": Layout(("image", "depth", "label"), _exported),
}
