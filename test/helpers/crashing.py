# SPDX-License-Identifier: Apache-2.0
"""Runs the trainer again and again, each time in a child of its own, and kills it at a chosen moment.

    python crashing.py '[[MOMENT, ARGUMENTS], …]'

prints a JSON list of [exit status, negative for a signal; moments passed; text printed]. A moment is the number of a
file operation of `write_atomically`, counted from 1: flushing to disk, and moving into place; null runs to the end. At
a flush that the kill is to tear, the file is cut in half first. Children are forked: PyTorch is imported once.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
from pathlib import Path

import torch


class Moments:
    """Counts what is written, and ends the process at the given count."""

    def __init__(self, fatal: int | None, counted: Path) -> None:
        self._fatal, self._counted, self._count = fatal, counted, 0
        self._fsync, self._replace = os.fsync, Path.replace
        os.fsync, Path.replace = self.fsync, lambda path, target: self.replace(path, target)

    def fsync(self, file: int) -> None:
        if self._is_fatal():
            os.truncate(f"/proc/self/fd/{file}", os.fstat(file).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        self._fsync(file)

    def replace(self, path: Path, target: Path) -> Path:
        if self._is_fatal():
            os.kill(os.getpid(), signal.SIGKILL)
        moved = self._replace(path, target)
        if self._is_fatal():
            os.kill(os.getpid(), signal.SIGKILL)
        return moved

    def _is_fatal(self) -> bool:
        self._count += 1
        self._counted.write_text(str(self._count))
        return self._count == self._fatal


def child(moment: int | str | None, arguments: list[str], counted: Path, printed: Path) -> None:
    with printed.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if isinstance(moment, str):  # the largest file that the disk takes
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(moment), resource.RLIM_INFINITY))
    else:
        Moments(moment, counted)
    from cen_model.cli.cen import main

    status = main(["train", *arguments])
    sys.stdout.flush()
    os._exit(status or 0)


def run(moment: int | str | None, arguments: list[str]) -> tuple[int, int, str]:
    with tempfile.TemporaryDirectory() as folder:
        counted, printed = Path(folder) / "count", Path(folder) / "printed"
        process = os.fork()
        if process == 0:
            try:
                child(moment, arguments, counted, printed)
            except BaseException:
                import traceback

                traceback.print_exc()
                sys.stderr.flush()
            os._exit(99)
        _, status = os.waitpid(process, 0)
        passed = int(counted.read_text()) if counted.exists() else 0
        return os.waitstatus_to_exitcode(status), passed, printed.read_text()


if __name__ == "__main__":
    torch.set_num_threads(1)
    import cen_model.cli.train  # noqa: F401

    print(json.dumps([run(*each) for each in json.loads(sys.argv[1])]))
