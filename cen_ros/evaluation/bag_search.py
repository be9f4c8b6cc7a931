# SPDX-License-Identifier: Apache-2.0
"""Which bags there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

METADATA = "metadata.yaml"
STORAGE = (".db3", ".mcap", ".bag", ".zstd", ".active")


def find_bags(paths: Sequence[Path], leave_out: Path) -> dict[str, Path]:
    """The bags at `paths`, and recursively those in folders that are none, but for those in `leave_out`: path by name.

    A name is the path below the folder that was searched; it is unique, by a number where it must.

    Raises:
        ValueError: a path does not exist, or there is no bag in it.
    """
    named: dict[str, Path] = {}
    for path in paths:
        found = [bag for bag in _bags(path) if bag == path or leave_out.resolve() not in bag.resolve().parents]
        if not found:
            what = (
                "no bag in it (a folder with metadata.yaml, .db3, .mcap, .bag)" if path.exists() else "does not exist"
            )
            raise ValueError(f"{path}: {what}")
        for bag in found:
            name = bag.resolve().name if bag == path else str(bag.relative_to(path))  # "." has none of its own
            number = sum(other == name or other.startswith(f"{name}~") for other in named)
            named[f"{name}~{number + 1}" if number else name] = bag
    return named


def _bags(path: Path) -> Iterator[Path]:
    """In the order of their names."""
    if path.is_file() or _is_bag(path):
        yield path
    elif path.is_dir():
        for each in sorted(path.iterdir()):
            if each.is_dir() or each.suffix in STORAGE:
                yield from _bags(each)


def _is_bag(path: Path) -> bool:
    """A folder of rosbag2; one whose recorder died has no metadata, but its files are named after it."""
    return path.is_dir() and ((path / METADATA).is_file() or any(path.glob(f"{path.name}_*.[dm]*")))
