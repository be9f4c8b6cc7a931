# SPDX-License-Identifier: Apache-2.0
"""Serialized messages to objects of the ROS 2 types, whichever ROS recorded them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore

IDL_SEPARATOR = "=" * 80 + "\nIDL: "
RENAMED = {"tf/msg/tfMessage": "tf2_msgs/msg/TFMessage"}
"""Types of ROS 1 that ROS 2 knows, field by field the same, under another name."""


class Decoder:
    """
    Decodes messages of one bag. Types that ROS 2 does not bring are learned from the definitions in the bag; those that
    have none there stay undecoded.
    """

    def __init__(self, ros1: bool):
        self.ros1, self.types = ros1, get_typestore(Stores.ROS2_JAZZY)
        self._known: dict[str, bool] = {}

    def type_of(self, connection: Connection) -> str:
        """The ROS 2 name of the connection's type, such as 'sensor_msgs/msg/Image'."""
        return RENAMED.get(connection.msgtype, connection.msgtype)

    def decode(self, connection: Connection, raw: bytes) -> tuple[Any, bytes]:
        """
        The message, None where its type is unknown, and its CDR.

        Raises whatever rosbags raises on bytes that are not of this type: it knows many errors.
        """
        name = self.type_of(connection)
        known = self.learn(connection)
        if self.ros1:
            raw = self.types.ros1_to_cdr(raw, name)
        return (self.types.deserialize_cdr(raw, name) if known else None), bytes(raw)

    def learn(self, connection: Connection) -> bool:
        """Whether the connection's type is known, from now on if its definition is in the bag."""
        name = self.type_of(connection)
        if name not in self._known:
            new = {} if name in self.types.fielddefs else definitions_of(connection)
            with suppress(TypesysError):
                self.types.register({key: each for key, each in new.items() if key not in self.types.fielddefs})
            self._known[name] = name in self.types.fielddefs
        return self._known[name]


def definitions_of(connection: Connection) -> dict:
    """The types that the connection's own definition defines; empty where there is none that can be read."""
    text, name = connection.msgdef.data, connection.msgtype
    if not text.strip():
        return {}
    try:
        if connection.msgdef.format == MessageDefinitionFormat.MSG:
            return get_types_from_msg(text, name)
        types = {}
        if connection.msgdef.format == MessageDefinitionFormat.IDL:
            for part in text.split(IDL_SEPARATOR)[1:] or [f"\n{text}"]:
                types.update(get_types_from_idl(part.partition("\n")[2]))
        return types
    except Exception:  # of a parser that is given anything: TypesysError, but also errors of its grammar
        return {}
