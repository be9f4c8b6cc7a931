# SPDX-License-Identifier: Apache-2.0
"""Which bags there are, and the share of one process among those that torchrun started."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
from torch import distributed

METADATA = "metadata.yaml"
STORAGE = (".db3", ".mcap", ".bag", ".zstd", ".active")
Item = TypeVar("Item")
PATIENCE = timedelta(days=7)
"""How long the first process to end waits for the last; bags may be long."""


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


class Ranks:
    """Process `rank` of `size`."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size

    def share(self, items: Sequence[Item]) -> list[tuple[int, Item]]:
        """Every `size`-th item, with its place among all."""
        return list(enumerate(items))[self.rank :: self.size]

    def gather(self, items: list[tuple[int, Item]]) -> list[Item]:
        """All items of all processes by their places, in every process."""
        shares = [items]
        if self.size > 1:
            shares = [None] * self.size
            distributed.all_gather_object(shares, items)
        return [item for _, item in sorted((each for share in shares for each in share), key=lambda each: each[0])]

    def device(self) -> str | None:
        """One GPU for each process where there are any; None leaves the choice to the predictor."""
        if self.size == 1 or not torch.cuda.is_available():
            return None
        return f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that torchrun started with this one, if it did; one on its own has all of the work."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Ranks(0, 1)
        return
    distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield Ranks(distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()
