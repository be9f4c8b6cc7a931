# SPDX-License-Identifier: Apache-2.0
"""Everything that a dataset's files say, read once: `cen data check`."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from cen_model.classes import VOID
from cen_model.data.dataset import Dataset
from cen_model.depth import to_meters

DEPTHS = np.concatenate([[0.0], np.geomspace(1e-4, 1e5, 1000), [np.inf]])
"""Edges of the depth histogram, in meters."""
LEVELS = 256
_FACTORS = (1000, 100, 10, 5, 0.2, 0.1, 0.01, 0.001)
"""Of units that are mistaken for each other: meters, millimeters, 1/5000 m, …"""
_ROOM = 2.5
_WORTH_A_WORKER = 50
"""Frames."""
_MANY, _FEW = 50, 20
"""Frames that show most classes of a set, and classes of a set that may well not have more."""
ROOMS, ANYWHERE = (0.8, 7.0), (0.3, 60.0)
"""Median depth in meters between which a unit is believable: in rooms, and where it may be a street, too."""


@dataclass
class Found:
    """What was found in one split."""

    frames: int = 0
    sizes: Counter[str] = field(default_factory=Counter)
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(VOID + 1, np.int64))
    """By label."""
    depths: np.ndarray = field(default_factory=lambda: np.zeros(len(DEPTHS) - 1, np.int64))
    """Known depths, by `DEPTHS`."""
    holes: int = 0
    hashes: dict[str, str] = field(default_factory=dict)
    """Of color images: the first frame with it."""
    levels: set[float] | None = field(default_factory=set)
    """Different values of depth; None if there are more than 8 bits can number."""
    twice: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class _Readings(TorchDataset):
    """Of every frame what is counted, or why it cannot be read; frames themselves would be slow to hand over."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        try:
            frame = self.dataset[index]
        except (ValueError, OSError) as error:
            return {"name": self.dataset.describe(index), "problem": str(error)}
        reading = {
            "name": self.dataset.describe(index),
            "size": "×".join(map(str, next(iter(frame.values())).shape[:2])),
        }
        if "rgb" in frame:
            reading["hash"] = blake2b(frame["rgb"].tobytes(), digest_size=12).hexdigest()
        if "label" in frame:
            reading["pixels"] = np.bincount(frame["label"].ravel(), minlength=VOID + 1)
        if "depth" in frame:
            depth = to_meters(frame["depth"])
            known = depth[depth > 0]
            levels = np.unique(known)
            reading |= {
                "depths": np.histogram(known, DEPTHS)[0],
                "holes": depth.size - known.size,
                "levels": levels.tolist() if len(levels) <= LEVELS else None,
            }
        return reading


def read_all(dataset: Dataset, workers: int, watch: Callable[[], object]) -> Found:
    """Read every frame of a split; what cannot be read is noted, and the rest goes on.

    Args:
        workers: processes; 0 takes as many as there are cores, if there is enough to do.
        watch: is called for every frame.
    """
    found = Found()
    workers = workers or min(os.cpu_count() or 1, len(dataset) // _WORTH_A_WORKER)
    for reading in DataLoader(_Readings(dataset), batch_size=None, num_workers=workers):
        watch()
        found.frames += 1
        if "problem" in reading:
            found.problems.append(reading["problem"])
            continue
        found.sizes[reading["size"]] += 1
        if "pixels" in reading:
            found.pixels += np.asarray(reading["pixels"])
        if "depths" in reading:
            found.depths += np.asarray(reading["depths"])
            found.holes += reading["holes"]
            _note_levels(found, reading)
        if (key := reading.get("hash")) in found.hashes:
            first = found.hashes[key]
            again = "is listed again" if first == reading["name"] else f"shows what {first} shows"
            found.twice.append(f"{reading['name']} {again}")
        elif key:
            found.hashes[key] = reading["name"]
    return found


def _note_levels(found: Found, reading: Mapping[str, Any]) -> None:
    if not np.asarray(reading["depths"]).any():
        found.problems.append(f"{reading['name']}: depth is a hole everywhere")
    if found.levels is not None:
        found.levels = None if reading["levels"] is None else found.levels | set(reading["levels"])
    if found.levels is not None and len(found.levels) > LEVELS:
        found.levels = None


def leaks(splits: Mapping[str, Found]) -> list[str]:
    """Frames that are in the training split and in another one."""
    train = splits["train"].hashes if "train" in splits else {}
    return [
        f"{found.hashes[key]} ({split}) is {train[key]} (train)"
        for split, found in splits.items()
        if split != "train"
        for key in found.hashes
        if key in train
    ]


def depth_statistics(found: Found) -> dict[str, float] | None:
    """Percentiles of known depth in meters, and the share of holes; None without depth."""
    known = int(found.depths.sum())
    if not known + found.holes:
        return None
    shares = np.cumsum(found.depths) / max(known, 1)
    percentiles = {f"{p} %": float(DEPTHS[1:][np.searchsorted(shares, p / 100)]) for p in (1, 50, 99)} if known else {}
    return {**percentiles, "holes": found.holes / (known + found.holes)}


def doubts(found: Found, classes: int, believable: tuple[float, float] = ANYWHERE) -> list[str]:
    """What is readable and yet looks wrong.

    Args:
        believable: median depths in meters, least and greatest.
    """
    said: list[str] = []
    statistics = depth_statistics(found)
    if statistics is not None and "50 %" not in statistics:
        said.append("depth: every pixel is a hole")
    elif statistics is not None and not believable[0] <= (median := statistics["50 %"]) <= believable[1]:
        factor = min(_FACTORS, key=lambda each: abs(np.log(median / each / _ROOM)))
        said.append(
            f"depth: the median is {median:.3g} m, which is hard to believe: is the unit another one? With {factor:g} "
            f"times as many units a meter it would be {median / factor:.3g} m"
        )
    labeled, used = found.pixels.sum(), np.flatnonzero(found.pixels[:classes])
    if labeled and found.pixels[VOID] == labeled:
        said.append("labels: every pixel is void")
    elif found.frames >= _MANY and classes > _FEW and used.size and used[-1] < classes // 2:
        said.append(
            f"labels: of {classes} classes, none after class {used[-1]} occurs in {found.frames} frames: are they of a "
            "set of fewer classes? (data.label_set)"
        )
    elif labeled and used.tolist() == list(range(classes - 1)) and classes > 2:
        said.append(
            f"labels: class {classes - 1} alone never occurs, the last one: do the files number classes from 0 on, so "
            "that every class is read as the one before it? (convention from_zero or zero_is_void)"
        )
    return said


def remarks(found: Found, classes: int) -> list[str]:
    """What need not be wrong, and is good to know."""
    said: list[str] = []
    if found.levels:
        said.append(f"depth: only {len(found.levels)} different values, as 8 bits have; results do not compare")
    never = [str(i) for i in range(classes) if not found.pixels[i]]
    if found.pixels.any() and never:
        said.append(f"labels: no pixel of class {', '.join(never[:8])}{', …' if len(never) > 8 else ''}")
    return said


def grouped(problems: list[str], shown: int = 20) -> list[str]:
    """The first problems of a list, and how many more there are."""
    by_text = defaultdict(int)
    for each in problems:
        by_text[each] += 1
    lines = [f"{text} ({count} times)" if count > 1 else text for text, count in by_text.items()]
    return [*lines[:shown], *([f"and {len(lines) - shown} more"] if len(lines) > shown else [])]
