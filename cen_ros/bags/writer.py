# SPDX-License-Identifier: Apache-2.0
"""Writes a bag of rosbag2, which appears whole or not at all, without ROS."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, TypesysError, get_typestore
from rosbags.typesys.store import Typestore

from cen_ros.bags.salvage import BagError
from cen_ros.bags.topic_names import IMAGE
from cen_ros.messages.images import array_to_image

STORAGES = {"sqlite3": StoragePlugin.SQLITE3, "mcap": StoragePlugin.MCAP}
VERSION = 8
"""Of the metadata: Jazzy's."""
LATCHED = Qos(
    QosHistory.KEEP_LAST,
    1,
    QosReliability.RELIABLE,
    QosDurability.TRANSIENT_LOCAL,
    *(QosTime(0, 0), QosTime(0, 0)),
    QosLiveliness.AUTOMATIC,
    QosTime(0, 0),
    avoid_ros_namespace_conventions=False,
)
"""What a player has to offer to those who subscribe to a latched topic."""
NO_DEFINITION = {"msgdef": "", "rihs01": f"RIHS01_{0:064}"}
"""Of a type whose fields nobody knows."""


class BagWriter:
    """
    A new bag, as a context manager; it is moved into place when the block is left without an error.

    Args:
        path: of the folder, which must not exist.
        compression: None, or 'zstd': each chunk of an mcap, each message of sqlite3.
        storage: 'sqlite3' or 'mcap'.
        latched: topics whose last message late subscribers are to get.
        types: definitions of the types that are written; those of ROS 2 by default.

    Raises:
        BagError: the path exists already, or an argument is not one of these.
    """

    def __init__(
        self,
        path: str | Path,
        compression: str | None = None,
        storage: str = "sqlite3",
        latched: Collection[str] = ("/tf_static",),
        types: Typestore | None = None,
    ):
        self.path = Path(path)
        if self.path.exists():
            raise BagError(f"{self.path}: exists already; remove it, or choose another path for the new bag")
        if storage not in STORAGES:
            raise BagError(f"storage: expected one of {', '.join(STORAGES)}, got {storage!r}")
        if compression not in (None, "zstd"):
            raise BagError(f"compression: expected zstd or none, got {compression!r}")
        self._latched = latched
        self._types = types or get_typestore(Stores.ROS2_JAZZY)
        self._connections: dict[tuple[str, str], Connection] = {}
        # rosbags names the file in the folder after the folder, hence a folder within a temporary one.
        self._temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._writer = Writer(self._temporary / self.path.name, version=VERSION, storage_plugin=STORAGES[storage])
        if compression:
            mode = CompressionMode.STORAGE if storage == "mcap" else CompressionMode.MESSAGE
            self._writer.set_compression(mode, CompressionFormat.ZSTD)

    def __enter__(self) -> BagWriter:
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._writer.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            self._writer.__exit__(kind, error, trace)
            if kind is None:
                self._writer.path.rename(self.path)
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def add(self, topic: str, type: str, message: Any, stamp_ns: int) -> None:
        """Write a message, any object with the fields of `type` ('sensor_msgs/msg/Image'), recorded at `stamp_ns`."""
        self.add_raw(topic, type, self._types.serialize_cdr(message, type), stamp_ns)

    def add_image(self, topic: str, pixels: np.ndarray, encoding: str, header: Any, stamp_ns: int) -> None:
        """Write an Image, recorded at `stamp_ns`, of pixels (H, W) or (H, W, channels) that fit the encoding."""
        message = array_to_image(pixels, encoding, header, SimpleNamespace)
        message.data = np.frombuffer(message.data, np.uint8)  # rosbags takes NumPy's arrays alone
        self.add(topic, IMAGE, message, stamp_ns)

    def add_raw(self, topic: str, type: str, raw: bytes | memoryview, stamp_ns: int) -> None:
        """Write a message that is CDR already, of any type."""
        self._writer.write(self._connection(topic, type), stamp_ns, raw)

    def _connection(self, topic: str, type: str) -> Connection:
        key = (topic, type)
        if key not in self._connections:
            qos = [LATCHED] if topic in self._latched else []
            self._connections[key] = self._writer.add_connection(
                topic, type, **self._definition(type), offered_qos_profiles=qos
            )
        return self._connections[key]

    def _definition(self, type: str) -> dict[str, str]:
        try:
            text, _ = self._types.generate_msgdef(type, ros_version=2)
            return {"msgdef": text, "rihs01": self._types.hash_rihs01(type)}
        except (TypesysError, KeyError):
            return NO_DEFINITION
