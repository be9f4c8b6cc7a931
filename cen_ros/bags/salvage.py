# SPDX-License-Identifier: Apache-2.0
"""Bags whose end or index is missing, because the recorder was killed or the disk was full: record by record."""

from __future__ import annotations

import bz2
import mmap
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Hashable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from backports import zstd
from lz4.frame import LZ4FrameDecompressor
from rosbags.interfaces import Connection
from rosbags.interfaces import MessageDefinitionFormat as Format

Buffer = mmap.mmap | bytes
FORMATS = {"ros2msg": Format.MSG, "ros2idl": Format.IDL, "omgidl": Format.IDL}
"""By what files of rosbag2 call them."""


class BagError(ValueError):
    """A bag cannot be read or written; the text is for people."""


class TornError(Exception):
    """The records end here."""


def decompressed(compression: str, data: bytes) -> bytes:
    """What is in `data`, as far as it goes if its end is missing."""
    if compression in ("", "none"):
        return data
    streams = {"zstd": zstd.ZstdDecompressor, "lz4": LZ4FrameDecompressor, "bz2": bz2.BZ2Decompressor}
    return streams[compression]().decompress(data)


class Entry(NamedTuple):
    """Where a message is: in the file, or in what a chunk unpacks to."""

    time: int
    chunk: Hashable
    """None: not in a chunk."""
    start: int
    size: int
    connection: int


class TornFile(ABC):
    """
    The whole records of a damaged file, with those attributes and methods of rosbags' readers that are used here, and
    `damage`: where the file breaks off, in words, or None.

    Raises:
        BagError: no message can be read.
    """

    magic: bytes

    def __init__(self, path: Path):
        with path.open("rb") as file:
            if file.read(len(self.magic)) != self.magic:
                raise BagError(f"expected a file that begins with {self.magic!r}")
            self._file = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.damage: str | None = None
        self._entries: list[Entry] = []
        self._found: dict[int, Connection] = {}
        self._chunk = lru_cache(maxsize=4)(self._unpack)
        self._scan()
        if not self._entries:
            self.close()
            raise BagError(f"no messages in it ({self.damage or 'but it is whole'})")
        self._entries.sort(key=lambda entry: entry.time)
        self.start_time, self.end_time = self._entries[0].time, self._entries[-1].time + 1
        counts = Counter(entry.connection for entry in self._entries)
        self.connections = [each._replace(msgcount=counts[each.id]) for each in self._found.values()]

    def close(self) -> None:
        """Close the file."""
        self._chunk.cache_clear()
        self._file.close()

    def messages(self, connections: Collection[Connection]) -> Iterator[tuple[Connection, int, bytes]]:
        """Connection, time and bytes of each message, in the order of time."""
        wanted = {each.id: each for each in connections}
        for entry in self._entries:
            if entry.connection in wanted:
                source = self._file if entry.chunk is None else self._chunk(*entry.chunk)
                yield wanted[entry.connection], entry.time, source[entry.start : entry.start + entry.size]

    def _scan(self) -> None:
        """Find all messages in records that are whole."""
        try:
            self._read_records(self._file, len(self.magic), chunk=None)
        except TornError as torn:
            self.damage = f"breaks off at byte {torn} of {len(self._file)}"
        except Exception as error:  # of a record that does not hold what it should
            self.damage = f"a record is damaged ({type(error).__name__}: {error})"

    def _read_chunk(self, *chunk: Hashable) -> None:
        """Take what is in a chunk, as far as it goes; the file may go on behind it."""
        try:
            self._read_records(self._chunk(*chunk), 0, chunk)
        except Exception as error:  # of three decompressors, or a checksum that differs
            self.damage = f"the chunk at byte {chunk[0]} is damaged ({type(error).__name__}: {error})"

    @abstractmethod
    def _read_records(self, buffer: Buffer, at: int, chunk: Hashable) -> None:
        """Take the records from `at` on. Raises TornError where they end too early."""

    @abstractmethod
    def _unpack(self, *chunk: Hashable) -> bytes:
        """The records in a chunk, given what `_read_chunk` was."""
