# SPDX-License-Identifier: Apache-2.0
"""SQLite files of rosbag2 that are cut off, or whose recorder was killed."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinition
from rosbags.interfaces import MessageDefinitionFormat as Format

from cen_ros.bags.salvage import BagError

FORMATS = {"ros2msg": Format.MSG, "ros2idl": Format.IDL}


class TornSqlite:
    """
    The rows of a damaged database that can be read, as `TornFile` has those of other files.

    Raises:
        BagError: no message can be read.
    """

    def __init__(self, path: Path):
        self.damage: str | None = None
        self._database = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)
        try:
            self._open()
        except (sqlite3.Error, BagError) as error:
            self.close()
            raise BagError(f"no messages can be read ({error})") from error

    def _open(self) -> None:
        self._database.execute("PRAGMA writable_schema = ON")  # else SQLite refuses a file with fewer pages than it had
        topics = self._database.execute("SELECT id, name, type FROM topics").fetchall()
        self._rows: list[tuple[int, int, int]] = []
        try:
            # In the order in which they were written: pages of the index by time may lie beyond the tear. `data` is
            # read as well, for the tear may be in the midst of it.
            for row in self._database.execute("SELECT timestamp, id, topic_id, data FROM messages NOT INDEXED"):
                self._rows.append(row[:3])
        except sqlite3.Error as error:
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
        ]

    def _definitions(self) -> dict[str, MessageDefinition]:
        """By type; none before Iron."""
        with suppress(sqlite3.Error):
            query = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
            rows = self._database.execute(query).fetchall()
            return {kind: MessageDefinition(FORMATS.get(encoding, Format.NONE), text) for kind, encoding, text in rows}
        return {}

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def messages(self, connections: Collection[Connection]) -> Iterator[tuple[Connection, int, bytes]]:
        """Connection, time and bytes of each message, in the order of time."""
        wanted = {each.id: each for each in connections}
        for time, number, topic in self._rows:
            if topic in wanted:
                (data,) = self._database.execute("SELECT data FROM messages WHERE id = ?", (number,)).fetchone()
                yield wanted[topic], time, data
