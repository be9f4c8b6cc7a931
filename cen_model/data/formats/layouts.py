# SPDX-License-Identifier: Apache-2.0
"""The ways in which people have a dataset on their disks, and which one a folder is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cen_model.data.data_config import DataConfig, Split
from cen_model.data.dataset import Dataset
from cen_model.utils.validation import look_up


@dataclass(frozen=True)
class Layout:
    """One way.

    Attributes:
        signs: files or folders (patterns) that such a folder has, every one of them.
        open: a split of the dataset in that folder.
    """

    signs: tuple[str, ...]
    open: Callable[[DataConfig, Split], Dataset]

    def fits(self, root: Path) -> bool:
        return all(any(root.glob(sign)) for sign in self.signs)


def open_layout(config: DataConfig, split: Split, layouts: Mapping[str, Layout]) -> Dataset:
    """Open a split in the layout that is named, or in the first one that fits.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it is organized in none of these ways; what each would have, and what is there, is named.
    """
    root = folder(config)
    if config.layout is not None:
        return look_up("layout", config.layout, layouts).open(config, split)
    for layout in layouts.values():
        if layout.fits(root):
            return layout.open(config, split)
    expected = "; ".join(f"{name}: {', '.join(layout.signs)}" for name, layout in layouts.items())
    there = sorted(path.name for path in root.iterdir())
    raise ValueError(
        f"{root}: {config.dataset} in no known layout. Expected one of {expected}. "
        f"Found {', '.join(there[:12]) or 'nothing'}{', …' if len(there) > 12 else ''}"
    )


def folder(config: DataConfig) -> Path:
    """The dataset's folder. Raises ValueError if none is named, FileNotFoundError if it is not there."""
    if config.root is None:
        raise ValueError(f"data.root: name the folder of {config.dataset}")
    if not config.root.is_dir():
        raise FileNotFoundError(f"data.root: {config.root} is no folder")
    return config.root
