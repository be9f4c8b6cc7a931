# SPDX-License-Identifier: Apache-2.0
"""A worker thread behind a one-slot mailbox: it always works on the newest item, and nothing ever queues up."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, Thread
from typing import Any


class Worker:
    """Calls `work(item)` in a thread of its own for the newest item put, one at a time.

    Args:
        work: what to do with an item.
        failed: called, in the same thread, with whatever exception `work` raises; the worker goes on.
    """

    def __init__(self, work: Callable[[Any], None], failed: Callable[[Exception], None]):
        self._work = work
        self._failed = failed
        self._changed = Condition()
        self._slot: list[Any] = []
        self._stopping = False
        self._thread = Thread(target=self._run, name="segment", daemon=True)
        self._thread.start()

    def put(self, item: Any) -> bool:
        """Leave an item in the mailbox; whether one still lay there, which is dropped."""
        with self._changed:
            replaced = bool(self._slot)
            self._slot = [item]
            self._changed.notify()
        return replaced

    def stop(self) -> bool:
        """Let the work in progress end, drop what waits, and join the thread; whether something waited."""
        with self._changed:
            self._stopping = True
            dropped, self._slot = bool(self._slot), []
            self._changed.notify()
        self._thread.join()
        return dropped

    def _run(self) -> None:
        while slot := self._next():
            try:
                self._work(*slot)
            except Exception as error:
                self._failed(error)

    def _next(self) -> list[Any]:
        """Wait for the mailbox and empty it; an empty list means that the worker is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._slot or self._stopping)
            slot, self._slot = self._slot, []
            return [] if self._stopping else slot
