# SPDX-License-Identifier: Apache-2.0
"""A contestant of the benchmark that does not survive; in a file of its own, for its process imports no more."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Killed:
    """Its process is killed as by the kernel where memory is short."""

    turns: int
    """That it lives through."""
    device: str = "cpu"

    def set_process(self) -> None:
        pass

    def prepare(self) -> Callable[[], int]:
        done = []

        def run() -> int:
            if len(done) == self.turns:
                os.kill(os.getpid(), signal.SIGKILL)
            done.append(1)
            return len(done)

        return run
