# SPDX-License-Identifier: Apache-2.0
"""A dataset of files: which ones belong to a frame, and how each kind is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from cen_model.data.classes import LabelSet, merging
from cen_model.data.images import read_label
from cen_model.data.labels import Convention, to_ids

Files = Mapping[str, Path]
"""The file of each modality of a frame, and of its "label"."""
Reader = Callable[[Path], np.ndarray]
"""Reads a file as `cen_model.data.dataset` has it."""


class FileDataset:
    """Frames of files, in the order given.

    Args:
        frames: of the same modalities each.
        readers: by modality, and "label".
        labels: None where there are none.
        intrinsics: (3, 3) of all frames.
    """

    def __init__(
        self,
        frames: Sequence[Files],
        readers: Mapping[str, Reader],
        labels: LabelSet | None,
        intrinsics: np.ndarray | None = None,
    ) -> None:
        self.frames, self.labels = frames, labels
        self.modalities = tuple(name for name in frames[0] if name != "label")
        self._readers, self._intrinsics = readers, intrinsics

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        frame = {name: self._readers[name](path) for name, path in self.frames[index].items()}
        return self.checked(frame, index)

    def checked(self, frame: dict[str, np.ndarray], index: int) -> dict[str, np.ndarray]:
        """The frame. Raises ValueError if its images differ in size."""
        sizes = {name: "×".join(map(str, array.shape[:2])) for name, array in frame.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"the images of a frame differ in size ({sizes}): {self.describe(index)}")
        return frame

    def describe(self, index: int) -> str:
        return ", ".join(map(str, self.frames[index].values()))

    def intrinsics(self, index: int) -> np.ndarray | None:
        return self._intrinsics


def label_reader(convention: Convention, classes: int, merge: Sequence[int] | None = None) -> Reader:
    """Reads label files of `classes` classes; `merge` gives the id that each of them becomes."""
    return partial(_read_ids, convention=convention, classes=classes, merge=merge)


def _read_ids(path: Path, convention: Convention, classes: int, merge: Sequence[int] | None) -> np.ndarray:
    ids = to_ids(read_label(path), convention, classes, path)
    return ids if merge is None else merging(merge)[ids]


def read_lines(path: Path) -> list[str]:
    """Lines of a list file, without line endings of any system and without empty ones."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as a list of files: {error}") from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise ValueError(f"{path}: the list is empty")
    return names


def paired_lists(root: Path, part: str) -> list[Files]:
    """Frames of RGB/, Depth/ and HHA/ where they are there, and Label/ or labels/, that train.txt and test.txt name.

    Each line is the path of a colour image, with that of its label behind it or without (SA-Gate, CMX, DFormer). Other
    images have the colour image's path, but for the first folder and the ending.
    """
    label = next(each for each in ("Label", "label", "labels", "Labels") if (root / each).is_dir())
    folders = {each.lower(): each for each in ("RGB", "Depth", "HHA") if (root / each).is_dir()} | {"label": label}
    frames = []
    for line in read_lines(root / f"{part}.txt"):
        path = Path(line.replace("\t", " ").split()[0])
        inner = Path(*path.parts[1:]) if path.parts[0] == "RGB" else path
        where = {name: root / each / inner.parent for name, each in folders.items()}
        frames.append({name: find_image(each, inner.stem, line) for name, each in where.items()})
    return frames


def find_image(folder: Path, stem: str, what: str) -> Path:
    """The image of a name without its ending, whatever the ending's case. Raises FileNotFoundError."""
    for ending in (".png", ".jpg", ".jpeg", ".npy", ".PNG", ".JPG", ".JPEG"):
        if (path := folder / f"{stem}{ending}").is_file():
            return path
    raise FileNotFoundError(f"{what}: no {stem}.png or .jpg in {folder}")


def images_in(folder: Path) -> list[Path]:
    """The images of a folder, by name."""
    endings = {".png", ".jpg", ".jpeg"}
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in endings)


def refuse_missing(frames: Iterable[Files]) -> None:
    """Raise FileNotFoundError that names the first of the files that are not there, and how many are not."""
    missing = [path for files in frames for path in files.values() if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"{missing[0]}: not there; {len(missing)} files that the lists name are missing")
