# SPDX-License-Identifier: Apache-2.0
"""mcap files without their summary (https://mcap.dev/spec)."""

from __future__ import annotations

import struct
from binascii import crc32
from pathlib import Path

from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinition
from rosbags.interfaces import MessageDefinitionFormat as Format

from cen_ros.bags.salvage import FORMATS, Buffer, Entry, TornError, TornFile, decompressed

FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, DATA_END = 0x02, 0x03, 0x04, 0x05, 0x06, 0x0F


class TornMcap(TornFile):
    """An mcap file, without use of its summary."""

    magic = b"\x89MCAP0\r\n"

    def __init__(self, path: Path):
        self._schemas = {0: ("", MessageDefinition(Format.NONE, ""))}
        super().__init__(path)

    def _read_records(self, buffer: Buffer, at: int, chunk: int) -> None:
        while chunk is None or at < len(buffer):  # a file ends with a record that says so, a chunk does not
            if at + 9 > len(buffer):
                raise TornError(at)
            kind, size = struct.unpack_from("<BQ", buffer, at)
            start, at = at + 9, at + 9 + size
            if kind == CHUNK:
                self._read_chunk(start)
            if not kind or at > len(buffer):
                raise TornError(start - 9)
            if kind in (FOOTER, DATA_END):
                return
            if kind == MESSAGE:
                channel, _, time = struct.unpack_from("<HIQ", buffer, start)
                if channel in self._found:
                    self._entries.append(Entry(time, chunk, start + 22, size - 22, channel))
            elif kind in (SCHEMA, CHANNEL):
                self._declare(kind, buffer[start:at])

    def _declare(self, kind: int, record: bytes) -> None:
        (number,) = struct.unpack_from("<H", record)
        if kind == SCHEMA:
            name, encoding, text = _strings(record, 2, 3)
            self._schemas[number] = (name, MessageDefinition(FORMATS.get(encoding, Format.NONE), text))
            return
        (schema,) = struct.unpack_from("<H", record, 2)
        topic, encoding = _strings(record, 4, 2)
        extra = ConnectionExtRosbag2(encoding, [])
        self._found.setdefault(number, Connection(number, topic, *self._schemas[schema], "", 0, extra, self))

    def _unpack(self, at: int) -> bytes:
        size, checksum, length = struct.unpack_from("<QII", self._file, at + 16)
        end = at + 32 + length
        compression = self._file[at + 32 : end].decode()
        (packed,) = struct.unpack_from("<Q", self._file, end)
        records = decompressed(compression, self._file[end + 8 : end + 8 + packed])
        if checksum and len(records) == size and crc32(records) != checksum:
            raise TornError("its checksum differs")
        return records


def _strings(record: bytes, at: int, count: int) -> list[str]:
    """`count` strings, each behind its length."""
    texts = []
    for _ in range(count):
        (length,) = struct.unpack_from("<I", record, at)
        texts.append(record[at + 4 : at + 4 + length].decode())
        at += 4 + length
    return texts
