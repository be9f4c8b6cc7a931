# SPDX-License-Identifier: Apache-2.0
"""The files of a bag: found, decompressed and opened, by rosbags where they are whole, by `salvage` where not."""

from __future__ import annotations

import re
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import yaml
from backports import zstd
from rosbags import rosbag1, rosbag2

from cen_ros.bags.salvage import BagError
from cen_ros.bags.salvage_bag1 import TornBag1
from cen_ros.bags.salvage_mcap import TornMcap
from cen_ros.bags.salvage_sqlite import TornSqlite, ends_within_a_page

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
"""CDR begins with a zero byte, so that a message tells whether it is compressed."""
READERS = {
    ".mcap": (rosbag2.Reader, TornMcap),
    ".db3": (rosbag2.Reader, TornSqlite),
    ".bag": (rosbag1.Reader, TornBag1),
    ".active": (rosbag1.Reader, TornBag1),  # .bag.active: its recorder was killed
}
FOLDER_PATTERNS = ("*.mcap", "*.db3", "*.mcap.zstd", "*.db3.zstd")


@dataclass(frozen=True)
class Part:
    """One file of a bag, open; `reader` has connections, start_time, end_time and messages() as those of rosbags."""

    file: Path
    reader: Any

    @property
    def ros1(self) -> bool:
        """Whether its messages are those of ROS 1."""
        return isinstance(self.reader, (rosbag1.Reader, TornBag1))

    def uncompressed(self, raw: bytes) -> bytes:
        """A message as it was before rosbag2 compressed it."""
        return zstd.decompress(raw) if raw[:4] == ZSTD_MAGIC and not self.ros1 else raw


def open_parts(path: Path, stack: ExitStack) -> tuple[list[Part], list[str]]:
    """
    The files of the bag at `path`, to be closed by `stack`, and in words what is missing of them.

    Raises:
        BagError: there is none, or none can be opened.
    """
    files, promised, torn = storage_files(path)
    parts = []
    for file in files:
        try:
            parts.append(_open(file, stack, torn))
        except (BagError, OSError) as error:
            if len(files) == 1:
                raise BagError(f"{file}: {error}") from error
            torn.append(f"{file.name}: {error}")
    if not parts:
        raise BagError(f"{path}: no file of this bag can be read: {'; '.join(torn)}")
    found = sum(connection.msgcount for part in parts for connection in part.reader.connections)
    if found < promised:
        torn.append(f"{found} of {promised} messages are left")
    return parts, torn


def storage_files(path: Path) -> tuple[list[Path], int, list[str]]:
    """The files of a bag in their order, the number of messages that its metadata promises (0), and what is amiss."""
    if not path.exists():
        raise BagError(f"{path}: no such file or folder")
    if path.is_file():
        if _kind(path) not in READERS:
            raise BagError(f"{path}: not a bag: expected a folder of rosbag2, or a .mcap, .db3 or .bag file")
        return [path], 0, []
    there = sorted((file for pattern in FOLDER_PATTERNS for file in path.glob(pattern)), key=_by_number)
    try:
        metadata = yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
        listed = [path / PurePath(name).name for name in metadata["relative_file_paths"]]
        promised = int(metadata["message_count"])
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        if not there:
            raise BagError(f"{path}: not a bag: no metadata.yaml that can be read, nor .mcap or .db3 files") from error
        missing = isinstance(error, FileNotFoundError)
        return there, 0, ["metadata.yaml is missing" if missing else "metadata.yaml cannot be read"]
    lost = [f"{file.name} is missing" for file in listed if not file.exists()]
    files = [file for file in listed if file.exists()] or there
    if not files:
        raise BagError(f"{path}: {'; '.join(lost) or 'metadata.yaml lists no files'}")
    return files, promised, lost


def _kind(file: Path) -> str:
    """What decides on the reader."""
    return file.with_suffix("").suffix if file.suffix == ".zstd" else file.suffix


def _by_number(file: Path) -> list:
    """rosbag2 numbers split files without leading zeros."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", file.name)]


def _open(file: Path, stack: ExitStack, torn: list[str]) -> Part:
    """Adds to `torn` what is missing of the file."""
    source = _decompress(file, stack, torn) if file.suffix == ".zstd" else file
    whole, salvage = READERS[_kind(file)]
    log = Path(f"{source}-wal")
    try:
        if log.exists() and log.stat().st_size:
            raise BagError("rosbags leaves out SQLite's log of a recorder that was killed")
        if source.suffix == ".db3" and ends_within_a_page(source):
            raise BagError("rosbags takes the rest of the page for zeros")
        reader = whole(source)
        reader.open()
        if source.suffix == ".mcap" and not (reader.storage.chunks and reader.connections):
            reader.close()
            raise BagError("rosbags needs an index, or messages in order, and the channels in the summary")
    except PermissionError:
        raise
    except Exception:  # rosbags meets damaged bytes with many kinds of errors, assertions among them
        reader = salvage(source)
        if reader.damage:
            torn.append(f"{file.name}: {reader.damage}")
    stack.callback(reader.close)
    return Part(file, reader)


def _decompress(file: Path, stack: ExitStack, torn: list[str]) -> Path:
    """The file decompressed into a temporary folder, as far as it goes."""
    target = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cen_ros-bag-"))) / file.stem
    with zstd.open(file, "rb") as source, target.open("wb") as copy:
        try:
            while block := source.read1(1 << 20):  # read() would lose what it has when the end is missing
                copy.write(block)
        except (EOFError, zstd.ZstdError) as error:
            torn.append(f"{file.name}: compressed data end early ({error})")
    return target
