# SPDX-License-Identifier: Apache-2.0
"""A whole dataset in one file: encoded images of one size, in a safetensors file that fits into memory.

Tensors by split and name: ``train/rgb`` are the images of all frames one after the other, ``train/rgb.offsets`` where
each begins, JPEG or PNG. Depth has 16 bits in mm, or 8 bits, and ``depth.levels`` says which mm each of them is. The
metadata holds a JSON object: version, classes, colors, modalities, size, names of the frames, intrinsics, and the
CRC-32 of every tensor.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from safetensors import SafetensorError, safe_open

from cen_model.classes import LABEL_SETS, NYU13_OF_NYU40, LabelSet, merging
from cen_model.config import rename_keys
from cen_model.data.data_config import DataConfig, Split
from cen_model.data.formats import nyudv2_split
from cen_model.data.formats.stand_in import part_of
from cen_model.utils.validation import look_up

KEY, VERSION = "packed_dataset", 1


class Packed:
    """One split of a packed dataset; the encoded images are in memory.

    Args:
        shared: whether one part of the file may stand for both validation and test.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no packed dataset, damaged, or has no such split.
    """

    def __init__(self, path: Path, split: Split, label_set: str | None = None, shared: bool = True) -> None:
        if not path.is_file():
            raise FileNotFoundError(f"data.root: {path} is no file; make one with cen data pack")
        self.path, self.split = path, split
        try:
            with safe_open(path, "np") as file:
                described = rename_keys(json.loads((file.metadata() or {}).get(KEY, "null")))
                if described is None or described["version"] != VERSION:
                    raise ValueError(f"{path}: not a dataset packed by this version; pack it again")
                part, self._places = _stored(described["frames"], split, path, shared)
                prefix, names = f"{part}/", file.keys()
                self._blobs = {name: file.get_tensor(name) for name in names if name.startswith(prefix)}
                self._levels = file.get_tensor("depth.levels") if "depth.levels" in names else None
        except SafetensorError as error:
            raise ValueError(f"{path}: damaged, or not a packed dataset: {error}") from error
        for name, tensor in self._blobs.items():
            # A damaged JPEG decodes without a word. (Files of this version's first days have no checksums.)
            if described.get("crc32", {}).get(name, zlib.crc32(tensor)) != zlib.crc32(tensor):
                raise ValueError(f"{path}: damaged: the checksum of {name} is wrong; copy or pack it again")
        self._prefix, self._names = prefix, [described["frames"][part][place] for place in self._places]
        self._intrinsics = described["intrinsics"]
        self.modalities = tuple(described["modalities"])
        classes, colors = described["classes"], described["colors"]
        self.labels = LabelSet(tuple(classes), tuple(map(tuple, colors))) if classes else None
        self._merged = None
        if label_set is not None and self.labels != look_up("data.label_set", label_set, LABEL_SETS):
            self._merged = _nyu13_of(self.labels, label_set, path)
            self.labels = LABEL_SETS[label_set]

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        names = [*self.modalities, "label"] if self.labels else self.modalities
        return {name: self._decoded(name, index) for name in names}

    def describe(self, index: int) -> str:
        return f"{self._names[index]} (in {self.path})"

    def intrinsics(self, index: int) -> np.ndarray | None:
        return None if self._intrinsics is None else np.array(self._intrinsics)

    def _decoded(self, name: str, index: int) -> np.ndarray:
        key = self._prefix + name
        place = self._places[index]
        start, stop = self._blobs[f"{key}.offsets"][place : place + 2]
        image = cv2.imdecode(self._blobs[key][start:stop], cv2.IMREAD_UNCHANGED)
        if image is None:
            raise ValueError(f"{self.describe(index)}: {name} is damaged")
        if name == "depth" and image.dtype == np.uint8:
            return self._levels[image]
        if name == "label" and self._merged is not None:
            return self._merged[image]
        return np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image


def _nyu13_of(labels: LabelSet | None, label_set: str, path: Path) -> np.ndarray:
    """The id among NYU's 13 classes of each of its 40: uint8 (256,)."""
    if labels != LABEL_SETS["nyu40"] or label_set != "nyu13":
        found = f"{len(labels.names)} classes" if labels else "no labels"
        raise ValueError(f"data.label_set: {path} has {found}, which {label_set} cannot be made of")
    return merging(NYU13_OF_NYU40)


def _stored(frames: Mapping[str, list[str]], split: Split, path: Path, shared: bool) -> tuple[str, Sequence[int]]:
    """Return the part of the file that has the frames of a split, and their places in it.

    NYUDv2 was packed in its two official parts before it had validation frames; these are found by their names.
    """
    names = frames.get("train", [])
    if len(frames) < 3 and nyudv2_split.is_official_part(names):
        if split != "test":
            return "train", nyudv2_split.keep(range(len(names)), names, split)
        split = "validation" if "validation" in frames else "test"  # so the test frames were named
    part = part_of(split, frames, path, shared)
    return part, range(len(frames[part]))


def open_packed(config: DataConfig, split: Split) -> Packed:
    """A split of the file `config.root`."""
    if config.root is None:
        raise ValueError("data.root: name the packed file")
    return Packed(config.root, split, config.label_set, shared=not config.include_validation)
