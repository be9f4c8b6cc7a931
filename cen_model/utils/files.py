# SPDX-License-Identifier: Apache-2.0
"""Where the project's files are, and how they are written: whole, or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any


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


def write_bytes_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write bytes as `write_atomically` does."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def write_text_atomically(path: Path, text: str) -> None:
    """Write text in UTF-8 as `write_atomically` does."""
    write_bytes_atomically(path, text.encode())


def write_json_atomically(path: Path, value: Any) -> None:
    """Write a value as JSON as `write_atomically` does. Raises ValueError if it holds NaN or infinity."""
    write_text_atomically(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def find_weights(path_or_name: str | Path) -> Path:
    """The file behind a path or the name of shipped weights. Raises FileNotFoundError that lists the names."""
    folder = Path(str(files("cen_model") / "weights"))
    shipped = folder / f"{path_or_name}.safetensors"
    for path in (Path(path_or_name).expanduser(), shipped):
        if path.is_file():
            return path
    names = sorted(p.stem for p in folder.glob("*.safetensors"))
    raise FileNotFoundError(f"weights {str(path_or_name)!r}: no such file, nor one of the shipped {names}")
