# SPDX-License-Identifier: Apache-2.0
"""Your own data, described by a YAML file:

    classes: [floor, wall, person]        # names, or {name: [r, g, b]}
    labels: from_zero                     # or zero_is_void; or {first: 1, void: [0, 255]}
    depth_scale: 1000                     # units a meter; unless told, 1000 of integers and 1 of floating-point files
    intrinsics: [fx, fy, cx, cy]          # optional, in pixels
    train:
      rgb: images/train                   # a folder, or a list file with a path on each line
      depth: depth/train
      label: labels/train
    validation: {rgb: images/val, depth: depth/val, label: labels/val}

Files of folders belong together by their names without the endings; those of lists by their lines. Paths are relative
to the YAML file, those in a list to the list. Of validation and test, one that is not described is the other, which a
warning says. Without `label`, a split can be translated, not segmented.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from cen_model.classes import VOID, LabelSet
from cen_model.data.data_config import SPLITS, DataConfig, Split
from cen_model.data.formats.file_dataset import (
    FileDataset,
    Files,
    Reader,
    images_in,
    label_reader,
    read_lines,
    refuse_missing,
)
from cen_model.data.formats.image_files import read_array, read_gray, read_plane, read_rgb
from cen_model.data.formats.label_conventions import CONVENTIONS, Convention
from cen_model.data.formats.stand_in import part_of
from cen_model.modalities import MODALITIES, modality
from cen_model.utils.validation import look_up, unknown

_KEYS = ("classes", "labels", "depth_scale", "intrinsics", *SPLITS)


def open_custom(config: DataConfig, split: Split) -> FileDataset:
    """A split of the data that the YAML file `config.root` describes.

    Raises:
        FileNotFoundError: the file, or one that it names, is not there.
        ValueError: the description is wrong; the key, and what it should be, is named.
    """
    path = config.root
    if path is None or not path.is_file():
        raise FileNotFoundError(f"data.root: expected the YAML file that describes the data, got {path}")
    described = _read(path)
    there = [name for name in SPLITS if described.get(name)]
    part = part_of(split, there, path, shared=not config.include_validation)
    try:
        return _open(described, part, path.parent)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read(path: Path) -> Mapping[str, Any]:
    try:
        described = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: not YAML: {error}") from error
    if not isinstance(described, Mapping):
        raise ValueError(f"{path}: expected keys and values")
    for key in described:
        if key not in _KEYS:
            raise unknown(f"{path}: the key", key, _KEYS)
    return described


def _open(described: Mapping[str, Any], name: str, base: Path) -> FileDataset:
    """Open the part of that name; `base` is the folder that its paths are relative to."""
    part = described[name]
    if not isinstance(part, Mapping) or not part.keys() - {"label"}:
        raise ValueError(f"{name}: expected the folders or lists of rgb, depth, label, …")
    for each in part:
        if each != "label":
            modality(each)
    frames = _frames({each: base / str(where) for each, where in part.items()})
    refuse_missing(frames)
    labels = _label_set(described) if "label" in part else None
    readers = {name: _image_reader(name) for name in MODALITIES}
    readers["depth"] = readers["zbuffer"] = partial(_depth, scale=_depth_scale(described))
    if labels:
        readers["label"] = label_reader(_convention(described), len(labels.names))
    return FileDataset(frames, readers, labels, _intrinsics(described))


def _frames(where: Mapping[str, Path]) -> list[Files]:
    if all(path.is_dir() for path in where.values()):
        found = {name: _by_stem(folder) for name, folder in where.items()}
        stems = next(iter(found.values()))
        for name, files in found.items():
            if lonely := sorted(stems.keys() ^ files.keys()):
                raise ValueError(f"{where[name]}: {len(lonely)} images without a partner, such as {lonely[0]}")
        if not stems:
            raise ValueError(f"{next(iter(where.values()))}: no .png or .jpg there")
        return [{name: files[stem] for name, files in found.items()} for stem in sorted(stems)]
    if missing := [path for path in where.values() if not path.exists()]:
        raise FileNotFoundError(f"{missing[0]}: no such folder or list")
    lists = {name: [path.parent / line for line in read_lines(path)] for name, path in where.items()}
    lengths = {name: len(paths) for name, paths in lists.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the lists differ in length: {lengths}")
    return [dict(zip(lists, paths, strict=True)) for paths in zip(*lists.values(), strict=True)]


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in images_in(folder):
        if path.stem in found:
            raise ValueError(f"{path}: and {found[path.stem].name} have one name; which of them is meant?")
        found[path.stem] = path
    return found


def _image_reader(name: str) -> Reader:
    return read_rgb if MODALITIES[name].channels == 3 else read_plane


def _depth(path: Path, scale: float | None) -> np.ndarray:
    values = read_array(path) if path.suffix.lower() == ".npy" else read_gray(path)
    if scale is None and values.dtype == np.uint8:
        raise ValueError(f"{path}: depth of 8 bits: say with depth_scale how many of its steps make a meter")
    if scale is None:
        scale = 1 if values.dtype.kind == "f" else 1000
    return values.astype(np.float32) / scale


def _label_set(described: Mapping[str, Any]) -> LabelSet:
    classes = described.get("classes")
    if isinstance(classes, Mapping):
        for name, color in classes.items():
            if not isinstance(color, list) or len(color) != 3 or not all(_is_id(value) for value in color):
                raise ValueError(f"classes: expected [r, g, b] from 0 to 255 for {name}, got {color!r}")
    if not isinstance(classes, (list, Mapping)) or not 0 < len(classes) <= VOID:
        raise ValueError(f"classes: expected the names of 1 to {VOID} classes, got {classes!r}")
    if isinstance(classes, Mapping):
        return LabelSet(tuple(map(str, classes)), tuple(tuple(color) for color in classes.values()))
    return LabelSet.of(tuple(map(str, classes)))


def _convention(described: Mapping[str, Any]) -> Convention:
    value = described.get("labels")
    if isinstance(value, Mapping):
        first, void = value.get("first", 0), value.get("void", [])
        void = void if isinstance(void, list) else [void]
        if value.keys() - {"first", "void"} or not all(_is_id(each, 65535) for each in (first, *void)):
            raise ValueError(f"labels: expected {{first: 1, void: [0, 255]}} of values from 0 to 65535, got {value}")
        return Convention(first, tuple(void))
    if value is None:
        raise ValueError("labels: say how label files number the classes: from_zero, zero_is_void, or {first, void}")
    return look_up("labels", str(value), CONVENTIONS)


def _is_id(value: object, largest: int = 255) -> bool:
    return isinstance(value, int) and 0 <= value <= largest


def _depth_scale(described: Mapping[str, Any]) -> float | None:
    value = described.get("depth_scale")
    if value is not None and (not isinstance(value, (int, float)) or value <= 0):
        raise ValueError(f"depth_scale: expected a number above 0, got {value!r}")
    return value


def _intrinsics(described: Mapping[str, Any]) -> np.ndarray | None:
    value = described.get("intrinsics")
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 4 or not all(isinstance(each, (int, float)) for each in value):
        raise ValueError(f"intrinsics: expected [fx, fy, cx, cy] in pixels, got {value!r}")
    fx, fy, cx, cy = map(float, value)
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
