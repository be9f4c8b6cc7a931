# SPDX-License-Identifier: Apache-2.0
"""The share of one process among those that torchrun started; a process on its own has all of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

Item = TypeVar("Item")
PATIENCE = timedelta(days=7)
"""How long the first process to end waits for the last; bags may be long."""


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
        """One GPU for each process where there are any; None leaves the choice to PyTorch's user."""
        if self.size == 1 or not torch.cuda.is_available():
            return None
        return f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that torchrun started with this one, if it did."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Ranks(0, 1)
        return
    distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield Ranks(distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()
