# SPDX-License-Identifier: Apache-2.0
"""Files in parts: small enough, the same bytes when joined, and never a file of wrong bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cen_model.parts import join_parts, write_parts

FOOTER = 65


def _file(folder: Path, size: int, seed: int = 0) -> Path:
    path = folder / "weights.safetensors"
    path.write_bytes(np.random.default_rng(seed).bytes(size))
    return path


@pytest.mark.parametrize(
    ("size", "count"), [(0, 1), (1, 1), (935, 1), (936, 2), (1870, 2), (1871, 3), (2_500_000, 2674)]
)
def test_joined_parts_are_the_file(tmp_path: Path, size: int, count: int) -> None:
    path = _file(tmp_path, size)
    content = path.read_bytes()
    limit = 1000 if count <= 999 else 1_100_000  # more than one block is copied at a time
    parts = write_parts(path, limit)
    assert len(parts) == (count if count <= 999 else 3)
    assert all(part.stat().st_size <= limit for part in parts)
    # What any other tool would make of them.
    assert b"".join(part.read_bytes()[:-FOOTER] for part in parts) == content
    path.unlink()
    assert join_parts(parts[0]) == path and path.read_bytes() == content


def test_checksum_is_that_of_other_tools(tmp_path: Path) -> None:
    path = _file(tmp_path, 3000)
    digest = subprocess.run(["sha256sum", path], capture_output=True, check=True).stdout[:64]
    for part in write_parts(path, 1000):
        assert part.read_bytes()[-FOOTER:] == b"\n" + digest


def test_parts_of_an_earlier_writing_are_removed(tmp_path: Path) -> None:
    path = _file(tmp_path, 3000)
    other = tmp_path / "other.safetensors.000-of-001"
    other.write_bytes(b"")
    write_parts(path, 1000)
    parts = write_parts(path, 2000)
    assert set(tmp_path.iterdir()) == {path, other, *parts}


def test_missing_part(tmp_path: Path) -> None:
    parts = write_parts(_file(tmp_path, 3000), 1000)
    parts[2].unlink()
    with pytest.raises(FileNotFoundError, match=r"002-of-004: not there; all 4 parts"):
        join_parts(parts[0], tmp_path / "joined")


@pytest.mark.parametrize("where", [10, -100, -20])
def test_damaged_part(tmp_path: Path, where: int) -> None:
    parts = write_parts(_file(tmp_path, 3000), 1000)
    content = bytearray(parts[1].read_bytes())
    content[where] ^= 1
    parts[1].write_bytes(content)
    target = tmp_path / "joined"
    target.write_bytes(b"what was there")
    with pytest.raises(ValueError, match="damaged"):
        join_parts(parts[0], target)
    assert target.read_bytes() == b"what was there" and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("size", [0, 30, 900])
def test_truncated_part(tmp_path: Path, size: int) -> None:
    parts = write_parts(_file(tmp_path, 3000), 1000)
    parts[1].write_bytes(parts[1].read_bytes()[:size])
    with pytest.raises(ValueError, match=r"another file|damaged"):
        join_parts(parts[0], tmp_path / "joined")


def test_part_of_another_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    ours, theirs = (write_parts(_file(tmp_path / each, 3000, seed), 1000) for seed, each in enumerate("ab"))
    ours[3].write_bytes(theirs[3].read_bytes())
    with pytest.raises(ValueError, match=r"003-of-004: belongs to another file"):
        join_parts(ours[0], tmp_path / "joined")


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.001-of-002", "weights.000-of-000"])
def test_not_the_first_part(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="expected the first"):
        join_parts(tmp_path / name)


@pytest.mark.parametrize("limit", [0, 65, 66])
def test_too_small_parts(tmp_path: Path, limit: int) -> None:
    with pytest.raises(ValueError, match="999 parts"):
        write_parts(_file(tmp_path, 3000), limit)


def test_the_command_joins_several_files_or_says_what_is_wrong(tmp_path: Path) -> None:
    firsts, contents = [], []
    for seed, name in enumerate(("a", "b")):
        (tmp_path / name).mkdir()
        path = _file(tmp_path / name, 2500, seed)
        contents.append(path.read_bytes())
        firsts.append(write_parts(path, 1000)[0])
        path.unlink()
    command = [sys.executable, "-m", "cen_model.parts"]
    assert subprocess.run([*command, *firsts], check=False, timeout=60).returncode == 0
    assert [first.with_name("weights.safetensors").read_bytes() for first in firsts] == contents
    ended = subprocess.run([*command, tmp_path / "c"], check=False, timeout=60, capture_output=True, text=True)
    assert ended.returncode == 1 and "c: expected the first of a file's parts" in ended.stderr
