# SPDX-License-Identifier: Apache-2.0
"""SQLite files of rosbag2 that are cut off, or whose recorder was killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import apsw
from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinition
from rosbags.interfaces import MessageDefinitionFormat as Format

from cen_ros.bags.salvage import FORMATS, BagError

UNREADABLE = (apsw.Error, UnicodeDecodeError)
"""What damaged pages end in."""


def ends_within_a_page(path: Path) -> bool:
    """Whether SQLite would read zeros for the rest of a database's last page."""
    with path.open("rb") as file:
        head = file.read(18)
    return len(head) < 18 or path.stat().st_size % page_size(head[16:]) != 0


def page_size(field: bytes) -> int:
    """Bytes of a page, from the two bytes of a database's head that tell it."""
    page = int.from_bytes(field, "big")
    return 65536 if page == 1 else max(page, 512)


class WholePages(apsw.VFS):
    """Databases as long as their whole pages are."""

    name = "cen_ros-whole-pages"

    def __init__(self):
        super().__init__(self.name, "")

    def xOpen(self, name: str, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 SQLite's name
        """Called by SQLite."""
        return WholePagesFile("", name, flags)


class WholePagesFile(apsw.VFSFile):
    """A file as long as its whole pages are."""

    def xFileSize(self) -> int:  # noqa: N802 SQLite's name
        """Called by SQLite."""
        size = super().xFileSize()
        return size - size % page_size(self.xRead(2, 16)) if size >= 18 else 0


class TornSqlite:
    """
    The rows of a damaged database that can be read, as `TornFile` has those of other files.

    Raises:
        BagError: no message can be read.
    """

    def __init__(self, path: Path):
        self.damage: str | None = None
        # The log of a killed recorder can only be read by SQLite's own means.
        files = WholePages() if ends_within_a_page(path) else None
        self._database: apsw.Connection | None = None
        try:
            self._database = apsw.Connection(
                str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs=files.name if files else None
            )
            self._open()
        except (*UNREADABLE, BagError) as error:
            self.close()
            raise BagError(f"no messages can be read ({error})") from error

    def _open(self) -> None:
        self._database.execute("PRAGMA writable_schema = ON")  # else SQLite refuses a file with fewer pages than it had
        topics = self._database.execute("SELECT id, name, type FROM topics").fetchall()
        self._rows: list[tuple[int, int, int]] = []
        try:
            # In the order in which they were written: pages of the index by time may lie beyond the tear. `data` is
            # read as well, for the tear may be in the midst of it.
            for *row, data in self._database.execute("SELECT timestamp, id, topic_id, data FROM messages NOT INDEXED"):
                if not (all(isinstance(value, int) for value in row) and isinstance(data, bytes)):
                    raise apsw.CorruptError("a row does not hold a message")
                self._rows.append(tuple(row))
        except UNREADABLE as error:
            self.damage = f"breaks off after {len(self._rows)} messages ({error})"
        if not self._rows:
            raise BagError(self.damage or "there are none")
        self._rows.sort()
        self.start_time, self.end_time = self._rows[0][0], self._rows[-1][0] + 1
        counts, definitions = Counter(topic for _, _, topic in self._rows), self._definitions()
        unknown, extra = MessageDefinition(Format.NONE, ""), ConnectionExtRosbag2("cdr", [])
        self.connections = [
            Connection(number, name, kind, definitions.get(kind, unknown), "", counts[number], extra, self)
            for number, name, kind in topics
            if isinstance(name, str) and isinstance(kind, str)
        ]

    def _definitions(self) -> dict[str, MessageDefinition]:
        """By type; none before Iron."""
        with suppress(*UNREADABLE):
            query = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
            rows = self._database.execute(query)
            return {kind: MessageDefinition(FORMATS.get(encoding, Format.NONE), text) for kind, encoding, text in rows}
        return {}

    def close(self) -> None:
        """Close the database."""
        if self._database is not None:
            self._database.close()

    def messages(self, connections: Collection[Connection]) -> Iterator[tuple[Connection, int, bytes]]:
        """Connection, time and bytes of each message, in the order of time."""
        wanted = {each.id: each for each in connections}
        for time, number, topic in self._rows:
            if topic in wanted:
                (data,) = self._database.execute("SELECT data FROM messages WHERE id = ?", (number,)).fetchone()
                yield wanted[topic], time, data
