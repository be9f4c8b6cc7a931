# SPDX-License-Identifier: Apache-2.0
"""Something to be timed, in a process of its own: so that its memory is its own, and several can be timed in turn."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import median
from time import perf_counter
from typing import Any, Protocol

from cen_model.benchmark.machine import peak_memory

ENDED = "the process was ended, perhaps for want of memory"


class Entry(Protocol):
    """What is to be measured; it travels to the process by pickle.

    Attributes:
        device: that it runs on.
    """

    device: str

    def set_process(self) -> None:
        """Choose the settings of the process, as the program does whose work is timed."""

    def prepare(self) -> Callable[[], Any]:
        """Makes what is timed: a call is one turn, and is over when it returns."""


@dataclass(frozen=True)
class Readiness:
    """What a contestant says once it can run.

    Attributes:
        build_seconds: from nothing to the end of the first turn.
        answer: of the first turn.
    """

    build_seconds: float
    answer: Any


class Contestant:
    """A running process; use it in a `with` statement.

    Raises:
        RuntimeError: on entering, where the entry cannot run, with the reason; there and later, where the process was
            ended from outside.
    """

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(entry, theirs), daemon=True)

    def __enter__(self) -> Contestant:
        self._process.start()
        answer = self._answer()
        if isinstance(answer, str):
            self._process.join()
            raise RuntimeError(answer)
        self.readiness: Readiness = answer
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # it has ended already
            self._connection.send(None)
        self._process.join()

    def seconds(self, turns: int = 1) -> list[float]:
        """Time of each of so many turns."""
        return self._asked(turns)

    def peak_memory(self) -> int:
        """Bytes, of the process, or on a GPU of its tensors."""
        return self._asked("memory")

    def _asked(self, order: int | str) -> Any:
        with suppress(OSError):  # there is no answer then, either
            self._connection.send(order)
        return self._answer()

    def _answer(self) -> Any:
        try:
            return self._connection.recv()
        except (EOFError, OSError) as error:
            raise RuntimeError(ENDED) from error


def in_turn(contestants: Sequence[Contestant], rounds: int, seconds: float) -> list[list[list[float]]]:
    """Times by contestant, round and turn; in a round, each is timed for about so many seconds, once at least.

    A contestant whose process was ended meanwhile has no times at all, and the others go on.
    """
    first = [_tried(each, 1) for each in contestants]
    turns = [max(1, min(50, round(seconds / own[0]))) if own else 0 for own in first]
    times: list[list[list[float]]] = [[] for _ in contestants]
    for _ in range(rounds):
        for contestant, count, kept in zip(contestants, turns, times, strict=True):
            kept.append(_tried(contestant, count))
    return [kept if all(kept) else [] for kept in times]


def ratio(reference: Sequence[Sequence[float]], times: Sequence[Sequence[float]]) -> float:
    """Median over the rounds of the reference's time by this one's; both by round and turn."""
    return median(median(theirs) / median(ours) for theirs, ours in zip(reference, times, strict=True))


def _tried(contestant: Contestant, turns: int) -> list[float]:
    try:
        return contestant.seconds(turns)
    except RuntimeError:
        return []


def _serve(entry: Entry, connection: Connection) -> None:
    try:
        start = perf_counter()
        entry.set_process()
        run = entry.prepare()
        answer = run()
        connection.send(Readiness(perf_counter() - start, answer))
    except Exception as error:  # whatever a compiler raises is this contestant's result
        connection.send(f"{type(error).__name__}: {error}")
        return
    while (order := connection.recv()) is not None:
        connection.send(peak_memory(entry.device) if order == "memory" else [_time(run) for _ in range(order)])


def _time(run: Callable[[], Any]) -> float:
    start = perf_counter()
    run()
    return perf_counter() - start
