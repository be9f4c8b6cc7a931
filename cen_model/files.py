# SPDX-License-Identifier: Apache-2.0
"""Files that are either whole or absent, and where the project keeps what it can make again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def cache_directory() -> Path:
    """`$XDG_CACHE_HOME/cen_ros`, or `~/.cache/cen_ros`; everything in it may be deleted at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cen_ros"


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to disk, and move it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
