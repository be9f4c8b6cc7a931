# SPDX-License-Identifier: Apache-2.0
"""Taskonomy (Zamir et al. 2018): a folder per domain, or per building with the domains in it.

Buildings are the unit of the split: of those in alphabetical order, the last tenth is for validation and test each (at
least one), unless train.txt, val.txt and test.txt in the folder name them, or the points, a line each. Of the latter
two, one may stand for both.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from cen_model.data.config import DataConfig, Split
from cen_model.data.file_dataset import FileDataset, Files, Reader, read_lines
from cen_model.data.images import read_depth, read_grey, read_rgb
from cen_model.data.layouts import Layout, folder

MISSING = 65535
"""Of 16-bit images: nothing was measured there."""
UNITS_PER_METRE = 512
# The greatest values of the data set, by which the published code makes images of 8 bits.
_MAX_TEXTURE, _MAX_OCCLUSION = 11355, 11584

LOGGER = logging.getLogger(__name__)
_NAME = re.compile(r"(?P<point>.*point_\d+_view_\d+)_domain_(?P<domain>\w+)\.png$")
_LISTS = {"train": ("train.txt",), "validation": ("val.txt", "test.txt"), "test": ("test.txt", "val.txt")}


def _depth(path: Path) -> np.ndarray:
    values = read_depth(path)
    return np.where(values == MISSING, 0, values).astype(np.float32) / UNITS_PER_METRE


def _scaled(path: Path, maximum: int) -> np.ndarray:
    values = read_grey(path)
    if values.dtype == np.uint8:  # somebody has scaled it already
        return values
    shares = np.where(values == MISSING, 0, values).astype(np.float32) / maximum
    return np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)


def _shade(path: Path) -> np.ndarray:
    return read_rgb(path)[..., 0]


DOMAINS: Mapping[str, tuple[str, Reader]] = {
    "rgb": ("rgb", read_rgb),
    "normal": ("normal", read_rgb),
    "reshading": ("shade", _shade),
    "depth_euclidean": ("depth", _depth),
    "depth_zbuffer": ("zbuffer", _depth),
    "principal_curvature": ("curvature", read_rgb),
    "edge_occlusion": ("edge", partial(_scaled, maximum=_MAX_OCCLUSION)),
    "edge_texture": ("texture", partial(_scaled, maximum=_MAX_TEXTURE)),
    "segment_unsup2d": ("segment2d", read_rgb),
    "segment_unsup25d": ("segment25d", read_rgb),
}
"""By domain, the modality, and what reads its files."""


def _open(config: DataConfig, split: Split) -> FileDataset:
    root = folder(config)
    frames: dict[str, dict[str, Path]] = {}
    for path in sorted(root.rglob("*_domain_*.png")):
        match = _NAME.match(path.name)
        domain = path.parent.name if path.parent.name in DOMAINS else match and match["domain"]
        if match and domain in DOMAINS:
            building = _building(path, root)
            frames.setdefault(f"{building}/{match['point']}", {})[DOMAINS[domain][0]] = path
    keys = _chosen(root, sorted(frames), split)
    if not keys:
        raise ValueError(f"{root}: of {len(frames)} views none is left for {split}")
    chosen = _complete({key: frames[key] for key in keys}, root)
    readers = dict(DOMAINS.values())
    return FileDataset(chosen, readers, None)


def _building(path: Path, root: Path) -> str:
    parts = [part for part in path.relative_to(root).parts[:-1] if part not in DOMAINS]
    return "/".join(parts)


def _chosen(root: Path, keys: list[str], split: Split) -> list[str]:
    lists = {name for names in _LISTS.values() for name in names if (root / name).is_file()}
    if lists:  # what the others leave out belongs to nobody
        name = next((name for name in _LISTS[split] if name in lists), None)
        if name is None:
            raise FileNotFoundError(f"{root}: no {' or '.join(_LISTS[split])} beside {', '.join(sorted(lists))}")
        lines = set(read_lines(root / name))
        return [key for key in keys if {key, *key.rsplit("/", 1), key.split("/", 1)[0]} & lines]
    buildings = sorted({key.rsplit("/", 1)[0] for key in keys})
    units = buildings if len(buildings) > 2 else keys  # of one or two buildings, the views are shared out
    held = max(1, len(units) // 10)
    parts = {"test": units[-held:], "validation": units[-2 * held : -held], "train": units[: -2 * held]}
    wanted = set(parts[split])
    return [key for key in keys if key in wanted or key.rsplit("/", 1)[0] in wanted]


def _complete(frames: Mapping[str, Files], root: Path) -> list[Files]:
    """Those that have every domain that any has."""
    names = sorted({name for files in frames.values() for name in files})
    complete = [{name: files[name] for name in names} for files in frames.values() if len(files) == len(names)]
    if not complete:
        raise ValueError(f"{root}: no view has all of the domains that are there ({', '.join(names) or 'none'})")
    if left_out := [key for key, files in frames.items() if len(files) < len(names)]:
        lacking = ", ".join(name for name in names if name not in frames[left_out[0]])
        text = "%s: %d of %d views are left out, for they lack a domain; the first of them, %s: %s"
        LOGGER.warning(text, root, len(left_out), len(frames), left_out[0], lacking)
    return complete


LAYOUTS = {
    "domains": Layout(("*/*_domain_*.png",), _open),
    "buildings": Layout(("*/*/*_domain_*.png",), _open),
}
