# SPDX-License-Identifier: Apache-2.0
"""Bags of ROS 1 without their index (https://wiki.ros.org/Bags/Format/2.0)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from rosbags.interfaces import Connection, ConnectionExtRosbag1, MessageDefinition, MessageDefinitionFormat
from rosbags.rosbag1.reader import normalize, normalize_msgtype

from cen_ros.bags.salvage import Buffer, Entry, TornError, TornFile, decompressed

MESSAGE, CHUNK, CONNECTION = 2, 5, 7


class TornBag1(TornFile):
    """A bag of ROS 1, without use of its index."""

    magic = b"#ROSBAG V2.0\n"

    def _read_records(self, buffer: Buffer, at: int, chunk: int) -> None:
        for fields, start, size in _records(buffer, at):
            if "op" not in fields:  # zeros, for one
                raise TornError(start - 8)
            (kind,) = fields["op"]
            if kind == CHUNK:
                self._read_chunk(start, fields["compression"].decode(), size)
            if start + size > len(buffer):
                raise TornError(start)
            if kind == MESSAGE:
                seconds, rest = struct.unpack("<II", fields["time"])
                (number,) = struct.unpack("<I", fields["conn"])
                if number in self._found:
                    self._entries.append(Entry(seconds * 10**9 + rest, chunk, start, size, number))
            elif kind == CONNECTION:
                self._declare(fields, _fields(buffer[start : start + size]))
        if chunk is None and self.damage is None:
            self.damage = "ends without its index"  # or it were not read here

    def _declare(self, head: dict[str, bytes], about: dict[str, bytes]) -> None:
        (number,) = struct.unpack("<I", head["conn"])
        definition = MessageDefinition(MessageDefinitionFormat.MSG, about["message_definition"].decode())
        topic, kind = normalize(head["topic"].decode()), normalize_msgtype(about["type"].decode())
        extra = ConnectionExtRosbag1(None, None)
        self._found.setdefault(number, Connection(number, topic, kind, definition, "", 0, extra, self))

    def _unpack(self, at: int, compression: str, size: int) -> bytes:
        return decompressed(compression, self._file[at : at + size])


def _records(buffer: Buffer, at: int) -> Iterator[tuple[dict[str, bytes], int, int]]:
    """The header, and start and size of the data, of each record; the data of the last one may end too early."""
    while at < len(buffer):
        start = at
        if start + 4 > len(buffer):
            raise TornError(start)
        at += 4 + struct.unpack_from("<I", buffer, start)[0]
        if at + 4 > len(buffer):
            raise TornError(start)
        (size,) = struct.unpack_from("<I", buffer, at)
        yield _fields(buffer[start + 4 : at]), at + 4, size
        at += 4 + size


def _fields(header: bytes) -> dict[str, bytes]:
    """A header's fields: `name=value`, each behind its size."""
    fields, at = {}, 0
    while at < len(header):
        (size,) = struct.unpack_from("<I", header, at)
        name, _, value = header[at + 4 : at + 4 + size].partition(b"=")
        fields[name.decode()] = value
        at += 4 + size
    return fields
