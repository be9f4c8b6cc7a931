# SPDX-License-Identifier: Apache-2.0
"""A dataset of files: which ones belong to a frame, and how each kind is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from cen_model.classes import LabelSet, merging
from cen_model.data.formats.image_files import image_size, read_label
from cen_model.data.formats.label_conventions import Convention, to_ids

Files = Mapping[str, Path]
"""The file of each modality of a frame, and of its "label"."""
Reader = Callable[[Path], np.ndarray]
"""Reads a file as `cen_model.data.dataset` has it."""

NAMED = 20
"""Of missing files, so many are named."""
_ENDINGS = (".npy", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
# Depth as .npy comes first: beside it there may be a .png that was only made to be looked at.
_IMAGE = re.compile(r"(.+?\.(?:png|jpe?g|npy))(?=\s|$)", re.IGNORECASE)


class FileDataset:
    """Frames of files, in the order given.

    Args:
        frames: of the same modalities each.
        readers: by modality, and "label".
        labels: None where there are none.
        intrinsics: (3, 3) of all frames.
        camera_size: height and width of the images that these are of, where files may have been resized since.
    """

    def __init__(
        self,
        frames: Sequence[Files],
        readers: Mapping[str, Reader],
        labels: LabelSet | None,
        intrinsics: np.ndarray | None = None,
        camera_size: tuple[int, int] | None = None,
    ) -> None:
        if not frames:
            raise ValueError("no frames there")
        self.frames, self.labels = frames, labels
        self.modalities = tuple(name for name in frames[0] if name != "label")
        self._readers, self._intrinsics, self._camera_size = readers, intrinsics, camera_size

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        frame = {name: self._readers[name](path) for name, path in self._read(index).items()}
        return self.checked(frame, index)

    def keep(self, modalities: Iterable[str]) -> None:
        """Read only these from now on, and the label."""
        wanted = set(modalities)
        self.modalities = tuple(name for name in self.modalities if name in wanted)

    def _read(self, index: int) -> Files:
        kept = {*self.modalities, "label"}
        return {name: path for name, path in self.frames[index].items() if name in kept}

    def checked(self, frame: dict[str, np.ndarray], index: int) -> dict[str, np.ndarray]:
        """The frame. Raises ValueError if its images differ in size."""
        sizes = {name: "×".join(map(str, array.shape[:2])) for name, array in frame.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"the images of a frame differ in size ({sizes}): {self.describe(index)}")
        return frame

    def describe(self, index: int) -> str:
        return ", ".join(map(str, self._read(index).values()))

    def intrinsics(self, index: int) -> np.ndarray | None:
        if self._intrinsics is None or self._camera_size is None:
            return self._intrinsics
        size = image_size(next(iter(self._read(index).values())))
        height, width = (now / then for now, then in zip(size, self._camera_size, strict=True))
        return self._intrinsics * [[width], [height], [1]]


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

    Each line is the path of a color image, with that of its label behind it or without (SA-Gate, CMX, DFormer). Other
    images have the color image's path, but for the first folder and the ending.
    """
    folders = {each.lower(): each for each in ("RGB", "Depth", "HHA") if (root / each).is_dir()}
    folders["label"] = next(
        (each for each in ("Label", "label", "labels", "Labels") if (root / each).is_dir()), "Label"
    )
    frames = []
    for line in read_lines(root / f"{part}.txt"):
        color, *named = columns(line)
        path = Path(color)
        inner = Path(*path.parts[1:]) if path.parts[0] == "RGB" else path
        frame = {}
        for name, each in folders.items():
            if name == "label" and named and (root / named[0]).is_file():
                frame[name] = root / named[0]
            else:
                frame[name] = find_image(root / each / inner.parent, inner.stem)
        frames.append(frame)
    return frames


def columns(line: str) -> list[str]:
    """Paths of a line, between tabs; or between spaces, of which the names may have some too."""
    found = line.split("\t") if "\t" in line else _IMAGE.findall(line) or [line]
    return [each.strip() for each in found if each.strip()]


def find_image(folder: Path, stem: str) -> Path:
    """The image of a name without its ending, whatever the ending's case; ``stem.*`` if there is none."""
    for ending in _ENDINGS:
        for path in (folder / f"{stem}{ending}", folder / f"{stem}{ending.upper()}"):
            if path.is_file():
                return path
    return folder / f"{stem}.*"  # so that `refuse_missing` can name all that are missing, not only the first


def images_in(folder: Path) -> list[Path]:
    """The images of a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS)


def refuse_missing(frames: Iterable[Files]) -> None:
    """Raise FileNotFoundError that names the files that are not there (`NAMED` of them), and how many are not."""
    missing = [path for files in frames for path in files.values() if not path.is_file()]
    if missing:
        named = ", ".join(map(str, missing[:NAMED])) + (", …" if len(missing) > NAMED else "")
        raise FileNotFoundError(f"{named}: not there; {len(missing)} files that the lists name are missing")
