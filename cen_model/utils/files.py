# SPDX-License-Identifier: Apache-2.0
"""Where the project's files are, and how they are written: whole, or not at all."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

Value = TypeVar("Value")


def cache_directory() -> Path:
    """`$XDG_CACHE_HOME/cen_ros`, or `~/.cache/cen_ros`; everything in it may be deleted at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cen_ros"


def expand_home(value: Value) -> Value:
    """Return a path that begins with ``~`` with the home folder in its place; of a dataclass, that for every field."""
    if is_dataclass(value):
        return replace(value, **{each.name: expand_home(getattr(value, each.name)) for each in fields(value)})
    if isinstance(value, (str, Path)) and str(value).startswith("~"):
        return type(value)(os.path.expanduser(value))  # noqa: PTH111 - Path's own raises for ~ and no user's name
    return value


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


def list_weights() -> dict[str, Path]:
    """Return the files of the weights that come with the package, by name."""
    return {path.stem: path for path in sorted(Path(str(files("cen_model") / "weights")).glob("*.safetensors"))}


def find_weights(path_or_name: str | Path) -> Path:
    """The file behind a path or the name of shipped weights. Raises FileNotFoundError that lists the names."""
    path, shipped = Path(path_or_name).expanduser(), list_weights()
    if path.is_file():
        return path
    if str(path_or_name) not in shipped:
        raise FileNotFoundError(f"weights {str(path_or_name)!r}: no such file, nor one of the shipped {list(shipped)}")
    return shipped[str(path_or_name)]


def find_configuration(path: str | Path) -> Path:
    """Return the file at `path`, or the one that comes with the package under a name such as config/train/nyudv2.yaml.

    The package's own stand beside its source, or in share/cen_ros where it is installed.

    Raises:
        FileNotFoundError: there is no such file; lists where it was looked for.
    """
    path = Path(path).expanduser()
    source, *prefixes = Path(__file__).parents[2:]
    shared = [prefix / "share" / "cen_ros" for prefix in (*prefixes, Path(sys.prefix))]
    for folder in (Path(), source, *shared):  # an absolute path stays what it is behind any folder
        if (folder / path).is_file():
            return folder / path
    raise FileNotFoundError(
        f"{path}: no such file here, nor among the configurations of the package (in {source} or share/cen_ros)"
    )
