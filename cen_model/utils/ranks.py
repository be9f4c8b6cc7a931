# SPDX-License-Identifier: Apache-2.0
"""Work that is shared between the processes that torchrun started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

Item = TypeVar("Item")
PATIENCE = timedelta(days=7)
"""How long the first process to end waits for the last; work may be long."""


@dataclass(frozen=True)
class Ranks:
    """Process `rank` of `size`."""

    rank: int
    size: int

    @classmethod
    def current(cls) -> Ranks:
        """This process among those that are joined; alone where none are."""
        if not distributed.is_initialized():
            return ALONE
        return cls(distributed.get_rank(), distributed.get_world_size())

    def part(self, count: int) -> range:
        """Return the places of this process's share of `count` items, one after the other."""
        return range(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def gather(self, items: list[tuple[int, Item]]) -> list[Item]:
        """All items of all processes by their places, in every process."""
        return [item for _, item in sorted((each for share in self.each(items) for each in share), key=_place)]

    def each(self, value: Item) -> list[Item]:
        """The values of all processes, by rank, in every process."""
        values = [value]
        if self.size > 1:
            values = [None] * self.size
            distributed.all_gather_object(values, value)
        return values

    def device(self) -> str | None:
        """One GPU for each process where there are any; None leaves the choice to others."""
        if self.size == 1 or not torch.cuda.is_available():
            return None
        return f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"


ALONE = Ranks(0, 1)
"""A process that has all of the work."""


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that torchrun started with this one, if it did; one on its own has all of the work."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield Ranks(distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()


def _place(item: tuple[int, Item]) -> int:
    return item[0]
