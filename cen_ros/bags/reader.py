# SPDX-License-Identifier: Apache-2.0
"""Reads a bag of ROS 1 or ROS 2, as far as it can be read, without ROS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection, ConnectionExtRosbag1, QosDurability
from rosbags.typesys.store import Typestore

from cen_ros.bags.bag_files import Part, open_parts
from cen_ros.bags.decoding import Decoder
from cen_ros.bags.salvage import BagError
from cen_ros.errors import words

__all__ = ["Bag", "BagError", "BagMessage", "BagTopic"]


@dataclass(frozen=True)
class BagTopic:
    """A topic of a bag: its name, its type ('sensor_msgs/msg/Image') and its number of messages."""

    name: str
    type: str
    count: int
    latched: bool = False
    """Whether those who subscribe late got its last messages."""


@dataclass(frozen=True)
class BagMessage:
    """A recorded message."""

    topic: str
    receive_ns: int
    """When it was recorded."""
    message: Any
    """With the fields of the ROS 2 type; None where neither ROS 2 nor the bag says what its type is made of."""
    raw: bytes
    """The same as CDR, as ROS 2 sends it."""
    type: str


class Bag:
    """
    A bag: a folder of rosbag2 (sqlite3 or mcap, split or not, compressed or not), one of its files, or a .bag of ROS 1.

    What is torn or damaged is read as far as it reads; `damage` says what is missing. A context manager.

    Raises:
        BagError: nothing in it can be read, or it is not a bag.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._stack = ExitStack()
        try:
            self._parts, self._torn = open_parts(self.path, self._stack)
            self._decoder = Decoder(ros1=any(part.ros1 for part in self._parts))
            self.topics = self._count_topics()
        except BaseException:
            self._stack.close()
            raise
        self._unread: list[str] = []
        filled = [part.reader for part in self._parts if any(each.msgcount for each in part.reader.connections)]
        self.start_ns: int = min(reader.start_time for reader in filled)
        self.duration_ns: int = max(reader.end_time for reader in filled) - 1 - self.start_ns

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def damage(self) -> str | None:
        """What could not be read so far, in words, or None. `messages` finds damage that opening does not show."""
        return "; ".join([*self._torn, *self._unread]) or None

    @property
    def types(self) -> Typestore:
        """The types of ROS 2, and those others that the bag defines."""
        for part in self._parts:
            for connection in part.reader.connections:
                self._decoder.learn(connection)
        return self._decoder.types

    def _count_topics(self) -> dict[str, BagTopic]:
        connections = [connection for part in self._parts for connection in part.reader.connections]
        counts = Counter()
        for connection in connections:
            counts[connection.topic] += connection.msgcount
        if not counts.total():
            raise BagError(f"{self.path}: no messages in this bag{''.join(f'; {text}' for text in self._torn)}")
        types = {connection.topic: self._decoder.type_of(connection) for connection in reversed(connections)}
        latched = {connection.topic for connection in connections if is_latched(connection)}
        return {topic: BagTopic(topic, types[topic], counts[topic], topic in latched) for topic in sorted(counts)}

    def messages(self, topics: Collection[str]) -> Iterator[BagMessage]:
        """
        The messages of `topics` in the order in which they were recorded, file by file.

        One that cannot be decoded is left out; a file that breaks off ends there, and the next one follows. Both are
        told by `damage` afterwards.

        Raises:
            BagError: the bag has no such topic.
        """
        if unknown := sorted(set(topics) - set(self.topics)):
            raise BagError(f"{self.path}: no topic {', '.join(unknown)}; there are {', '.join(self.topics)}")
        self._unread = []
        undecoded: dict[str, list[str]] = {}
        for part in self._parts:
            yield from self._read(part, topics, undecoded)
        for topic, errors in undecoded.items():
            self._unread.append(f"{len(errors)} message(s) of {topic} are malformed, the first: {errors[0]}")

    def _read(self, part: Part, topics: Collection[str], undecoded: dict[str, list[str]]) -> Iterator[BagMessage]:
        wanted = [connection for connection in part.reader.connections if connection.topic in topics]
        promised, read = sum(connection.msgcount for connection in wanted), 0
        try:
            # An empty list would mean all of them.
            for connection, time, raw in part.reader.messages(wanted) if wanted else ():
                read += 1
                message = self._decode(part, connection, time, raw, undecoded)
                if message is not None:
                    yield message
        except Exception as error:  # rosbags meets damaged bytes with many kinds of errors, assertions among them
            self._unread.append(f"{part.file.name}: torn after {read} of {promised} messages: {words(error)}")

    def _decode(
        self, part: Part, connection: Connection, time: int, raw: bytes, undecoded: dict[str, list[str]]
    ) -> BagMessage | None:
        try:
            message, cdr = self._decoder.decode(connection, part.uncompressed(raw))
        except Exception as error:  # as above
            undecoded.setdefault(connection.topic, []).append(words(error))
            return None
        return BagMessage(connection.topic, time, message, cdr, self._decoder.type_of(connection))


def is_latched(connection: Connection) -> bool:
    """Whether its publisher kept the last messages for late subscribers; those of /tf_static always do."""
    if connection.topic.endswith("/tf_static"):
        return True
    if isinstance(connection.ext, ConnectionExtRosbag1):
        return bool(connection.ext.latching)
    return QosDurability.TRANSIENT_LOCAL in {qos.durability for qos in connection.ext.offered_qos_profiles}
