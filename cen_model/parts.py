# SPDX-License-Identifier: Apache-2.0
"""Large files in parts, for places that take no larger ones: NAME.000-of-003, NAME.001-of-003, …

The last line of every part, of fixed length, is the SHA-256 of the whole file: parts of two files are never joined.

`python -m cen_model.parts NAME.000-of-003 [...]` puts files together, beside their parts.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from pathlib import Path
from typing import BinaryIO

from cen_model.utils.files import write_atomically

_PART = re.compile(r"(?P<name>.+)\.(?P<index>\d{3})-of-(?P<count>\d{3})")
_FOOTER_BYTES = 64 + 1
_BLOCK = 1 << 20


def write_parts(path: Path, max_bytes: int) -> list[Path]:
    """Write the file's parts beside it, of at most `max_bytes` each; those of an earlier writing are removed.

    The file itself stays. Returns the parts in order; a file that is small enough is one part, too.

    Raises:
        ValueError: `max_bytes` leaves no room, or more than 999 parts would be needed.
    """
    room, size = max_bytes - _FOOTER_BYTES, path.stat().st_size
    count = max(1, -(-size // room)) if room > 0 else 0
    if not 0 < count <= 999:
        raise ValueError(f"{path}: {size} bytes cannot be written in at most 999 parts of {max_bytes} bytes")
    footer = f"\n{_digest(path)}".encode()
    parts = [path.with_name(f"{path.name}.{index:03d}-of-{count:03d}") for index in range(count)]
    with path.open("rb") as whole:
        for part in parts:
            # One after the other: as many bytes as there is room for, whatever is left in the last.
            write_atomically(part, lambda file: _copy(whole, file, room, footer))
    for each in _parts_of(path):
        if each not in parts:
            each.unlink()
    return parts


def join_parts(first_part: Path, path: Path | None = None) -> Path:
    """Write the file that parts make up.

    Args:
        first_part: NAME.000-of-…, with all the others beside it.
        path: None takes NAME beside the parts. If it is the same file already, nothing is written.

    Raises:
        FileNotFoundError: a part is missing.
        ValueError: this is no first part, or a part is damaged or of another file.
    """
    match = _PART.fullmatch(first_part.name)
    if match is None or int(match["index"]) != 0 or int(match["count"]) == 0:
        raise ValueError(f"{first_part}: expected the first of a file's parts, NAME.000-of-…")
    name, count = match["name"], match["count"]
    parts = [first_part.with_name(f"{name}.{index:03d}-of-{count}") for index in range(int(count))]
    for part in parts:
        if not part.is_file():
            raise FileNotFoundError(f"{part}: not there; all {int(count)} parts are needed")
    footers = [_footer(part) for part in parts]
    for part, footer in zip(parts, footers, strict=True):
        if footer != footers[0]:
            raise ValueError(f"{part}: belongs to another file than {first_part.name}, or is damaged; copy it again")
    path = path or first_part.with_name(name)
    if path.is_file() and _digest(path) == footers[0]:
        return path
    write_atomically(path, lambda file: _join(parts, file, footers[0]))
    return path


def _copy(whole: BinaryIO, path: Path, size: int, footer: bytes) -> None:
    with path.open("wb") as file:
        while block := whole.read(min(size, _BLOCK)):
            file.write(block)
            size -= len(block)
        file.write(footer)


def _join(parts: list[Path], path: Path, digest: str) -> None:
    with path.open("wb") as file:
        for part in parts:
            file.write(part.read_bytes()[:-_FOOTER_BYTES])
    if _digest(path) != digest:
        raise ValueError(f"{parts[0]}: these {len(parts)} parts are damaged: the checksum is wrong; copy them again")


def _footer(part: Path) -> str:
    with part.open("rb") as file:
        file.seek(-min(_FOOTER_BYTES, part.stat().st_size), 2)
        return file.read().decode("ascii", "replace").removeprefix("\n")


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _parts_of(path: Path) -> list[Path]:
    named = ((each, _PART.fullmatch(each.name)) for each in path.parent.iterdir())
    return [each for each, match in named if match and match["name"] == path.name]


def main() -> None:
    parser = argparse.ArgumentParser(description="Put files together that were written in parts.")
    parser.add_argument("first_part", nargs="+", type=Path, help="NAME.000-of-…, with all the others beside it")
    for each in parser.parse_args().first_part:
        print(join_parts(each))


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"parts: {error}")
