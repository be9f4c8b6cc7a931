# SPDX-License-Identifier: Apache-2.0
"""Taskonomy (Zamir et al. 2018): a folder per domain, or per building with the domains in it.

Buildings are the unit of the split: of those in alphabetical order, the last tenth is for validation and test each (at
least one), unless train.txt, val.txt and test.txt in the folder name them, or the points, a line each. Of the latter
two, one may stand for both, which a warning says.

Normals, shading, edges and HHA that are not downloaded are made of depth_zbuffer. Of depth_euclidean alone, which is
along the ray, they come out bent.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from cen_model.data.data_config import DataConfig, Split
from cen_model.data.formats.file_dataset import FileDataset, Files, Reader, read_lines
from cen_model.data.formats.image_files import read_depth, read_gray, read_rgb
from cen_model.data.formats.layouts import Layout, folder
from cen_model.data.formats.stand_in import part_of

MISSING = 65535
"""Of 16-bit images: nothing was measured there."""
UNITS_PER_METER = 512
# The greatest values of the data set, by which the published code makes images of 8 bits.
_MAX_TEXTURE, _MAX_OCCLUSION = 11355, 11584

LOGGER = logging.getLogger(__name__)
_NAME = re.compile(r"(?P<point>.*point_\d+_view_\d+)_domain_(?P<domain>\w+)\.png$")
_LISTS = {"train": "train.txt", "validation": "val.txt", "test": "test.txt"}


def _depth(path: Path) -> np.ndarray:
    values = read_depth(path)
    return np.where(values == MISSING, 0, values).astype(np.float32) / UNITS_PER_METER


def _scaled(path: Path, maximum: int) -> np.ndarray:
    values = read_gray(path)
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


class Views(FileDataset):
    """Views that need not have the same domains, until `keep` says which of them count.

    Args:
        root: the folder, for messages.
        frames: files of each view, by its name.
    """

    def __init__(self, root: Path, frames: Mapping[str, Files]) -> None:
        super().__init__(list(frames.values()), dict(DOMAINS.values()), None)
        self.modalities = tuple(sorted({name for files in frames.values() for name in files}))
        self._root, self._views = root, frames

    def keep(self, modalities: Iterable[str]) -> None:
        """Read only these from now on, of the views that have all of them.

        Raises:
            ValueError: there is no such view.
        """
        super().keep(modalities)
        self.frames = _complete(self._views, self.modalities, self._root)


def _open(config: DataConfig, split: Split) -> Views:
    root = folder(config)
    frames: dict[str, dict[str, Path]] = {}
    for path in sorted(root.rglob("*_domain_*.png")):
        match = _NAME.match(path.name)
        domain = path.parent.name if path.parent.name in DOMAINS else match and match["domain"]
        if match and domain in DOMAINS:
            building = _building(path, root)
            frames.setdefault(f"{building}/{match['point']}", {})[DOMAINS[domain][0]] = path
    keys = _chosen(root, sorted(frames), split, shared=not config.include_validation)
    if not keys:
        raise ValueError(f"{root}: of {len(frames)} views none is left for {split}")
    return Views(root, {key: frames[key] for key in keys})


def _building(path: Path, root: Path) -> str:
    parts = [part for part in path.relative_to(root).parts[:-1] if part not in DOMAINS]
    return "/".join(parts)


def _chosen(root: Path, keys: list[str], split: Split, shared: bool) -> list[str]:
    there = [part for part, name in _LISTS.items() if (root / name).is_file()]
    if there:  # what the others leave out belongs to nobody
        place = f"{root} ({', '.join(_LISTS.values())})"
        lines = set(read_lines(root / _LISTS[part_of(split, there, place, shared)]))
        return [key for key in keys if {key, *key.rsplit("/", 1), key.split("/", 1)[0]} & lines]
    buildings = sorted({key.rsplit("/", 1)[0] for key in keys})
    units = buildings if len(buildings) > 2 else keys  # of one or two buildings, the views are shared out
    held = max(1, len(units) // 10)
    parts = {"test": units[-held:], "validation": units[-2 * held : -held], "train": units[: -2 * held]}
    wanted = set(parts[split])
    return [key for key in keys if key in wanted or key.rsplit("/", 1)[0] in wanted]


def _complete(views: Mapping[str, Files], names: Sequence[str], root: Path) -> list[Files]:
    """Those that have all that is named."""
    lacking = {key: [name for name in names if name not in files] for key, files in views.items()}
    complete = [{name: files[name] for name in names} for key, files in views.items() if not lacking[key]]
    if not complete:
        raise ValueError(f"{root}: no view has all that is asked for ({', '.join(names)})")
    if left_out := [key for key in views if lacking[key]]:
        text = "%s: %d of %d views are left out, for they lack what is asked for; the first of them, %s: %s"
        LOGGER.warning(text, root, len(left_out), len(views), left_out[0], ", ".join(lacking[left_out[0]]))
    return complete


LAYOUTS = {
    "domains": Layout(("*/*_domain_*.png",), _open),
    "buildings": Layout(("*/*/*_domain_*.png",), _open),
}
