# SPDX-License-Identifier: Apache-2.0
"""Bags of every kind with the same few small messages, written by rosbags or by hand."""

from __future__ import annotations

import sqlite3
import struct
from pathlib import Path

import numpy as np
import yaml
from rosbags import rosbag1, rosbag2
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)
STORE1 = get_typestore(Stores.ROS1_NOETIC)
RGB, DEPTH, TF = "/camera/color/image_raw", "/camera/depth/image_raw", "/tf"
IMAGE = "sensor_msgs/msg/Image"
START, STEP = 1_700_000_000_000_000_000, 100_000_000
SIZE = (24, 32)


def pixels(k: int, channels: int) -> np.ndarray:
    """Noise, which does not compress, so that a cut through a file cuts through messages."""
    return np.random.default_rng([k, channels]).integers(0, 256, (*SIZE, channels), dtype=np.uint8)


def header(stamp: int, store=STORE, frame_id: str = "optical"):
    time = store.types["builtin_interfaces/msg/Time"](*divmod(stamp, 10**9))
    make = store.types["std_msgs/msg/Header"]
    return make(7, time, frame_id) if store is STORE1 else make(time, frame_id)


def image(k: int, stamp: int, encoding: str, store=STORE):
    channels = 3 if encoding == "rgb8" else 2
    data = pixels(k, channels).reshape(-1)
    return store.types[IMAGE](header(stamp, store), *SIZE, encoding, 0, SIZE[1] * channels, data)


def script(frames: int = 12, store=STORE) -> list[tuple[str, int, object]]:
    """(topic, receive time, message): color, and 1 ms later depth, of each frame."""
    lines = []
    for k in range(frames):
        stamp = START + k * STEP
        lines.append((RGB, stamp, image(k, stamp, "rgb8", store)))
        lines.append((DEPTH, stamp + 1_000_000, image(k, stamp, "16UC1", store)))
    return lines


def write(path: Path, storage: str, mode: CompressionMode = CompressionMode.NONE, lines=None) -> Path:
    """A bag of rosbag2 by rosbags' own writer."""
    writer = rosbag2.Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()])
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connections = {topic: writer.add_connection(topic, IMAGE, typestore=STORE) for topic in (RGB, DEPTH)}
        for topic, time, message in script() if lines is None else lines:
            writer.write(connections[topic], time, STORE.serialize_cdr(message, IMAGE))
    return path


def write_split(path: Path, storage: str) -> Path:
    """A bag in three files, as rosbag2 leaves it; the tenth file comes after the second."""
    lines, metadata = script(), None
    path.mkdir()
    for k, number in enumerate((1, 2, 10)):
        part = write(path.with_name(f"part_{number}"), storage, lines=lines[8 * k : 8 * k + 8])
        (file,) = (file for file in part.iterdir() if file.suffix != ".yaml")
        file.rename(path / file.name)
        one = yaml.safe_load((part / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
        if metadata is None:
            metadata = one
            continue
        metadata["relative_file_paths"] += one["relative_file_paths"]
        metadata["message_count"] += one["message_count"]
        for topic, more in zip(metadata["topics_with_message_count"], one["topics_with_message_count"], strict=True):
            topic["message_count"] += more["message_count"]
    (path / "metadata.yaml").write_text(yaml.safe_dump({"rosbag2_bagfile_information": metadata}))
    return path


def write_humble(path: Path) -> Path:
    """A sqlite3 file as Humble's rosbag2 writes it: without definitions of types."""
    database = sqlite3.connect(path)
    database.executescript(
        "CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);"
        "CREATE TABLE metadata(id INTEGER PRIMARY KEY, metadata_version INTEGER NOT NULL, metadata TEXT NOT NULL);"
        "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,"
        " serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL);"
        "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, timestamp INTEGER NOT NULL,"
        " data BLOB NOT NULL);"
        "CREATE INDEX timestamp_idx ON messages (timestamp ASC);"
        "INSERT INTO schema VALUES (3, 'humble');"
    )
    numbers = {RGB: 1, DEPTH: 2}
    for topic, number in numbers.items():
        database.execute("INSERT INTO topics VALUES (?, ?, ?, 'cdr', '')", (number, topic, IMAGE))
    for topic, time, message in script():
        row = (numbers[topic], time, bytes(STORE.serialize_cdr(message, IMAGE)))
        database.execute("INSERT INTO messages(topic_id, timestamp, data) VALUES (?, ?, ?)", row)
    database.commit()
    database.close()
    return path


def write_ros1(path: Path, compression: str = "NONE", lines=None) -> Path:
    """A .bag of ROS 1."""
    writer = rosbag1.Writer(path)
    writer.chunk_threshold = 20_000
    if compression != "NONE":
        writer.set_compression(rosbag1.Writer.CompressionFormat[compression])
    with writer:
        connections = {topic: writer.add_connection(topic, IMAGE, typestore=STORE1) for topic in (RGB, DEPTH)}
        for topic, time, message in script(store=STORE1) if lines is None else lines:
            writer.write(connections[topic], time, STORE1.serialize_ros1(message, IMAGE))
    return path


def mcap_records(data: bytes) -> list[bytes]:
    """The records, each with its opcode and length."""
    records, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<Q", data, at + 1)
        records.append(data[at : at + 9 + size])
        at += 9 + size
    return records


def write_without_channels(path: Path) -> Path:
    """An mcap whose summary has the index alone, without schemas, channels and statistics."""
    (file,) = write(path.with_suffix(".whole"), "mcap").glob("*.mcap")
    data = file.read_bytes()
    (summary,) = struct.unpack_from("<Q", data, len(data) - 28)
    kept = [record for record in mcap_records(data[summary:-37]) if record[0] == 8]
    footer = b"\x02" + struct.pack("<QQQI", 20, summary, 0, 0)
    path.write_bytes(data[:summary] + b"".join(kept) + footer + data[:8])
    return path


def write_unchunked(path: Path, order=lambda records: records) -> Path:
    """An mcap without chunks and summary, as rosbag2's preset `fastwrite` writes it; messages in another `order`."""
    (file,) = write(path.with_suffix(".whole"), "mcap").glob("*.mcap")
    data = file.read_bytes()
    head_end = 8 + 9 + struct.unpack_from("<Q", data, 9)[0]
    (length,) = struct.unpack_from("<Q", data, head_end + 1)
    records = mcap_records(data[head_end + 9 + 40 : head_end + 9 + length])  # a chunk has 40 bytes before its records
    messages = [record for record in records if record[0] == 5]
    others = [record for record in records if record[0] != 5]
    end = b"\x0f" + struct.pack("<QI", 4, 0) + b"\x02" + struct.pack("<QQQI", 20, 0, 0, 0) + data[:8]
    path.write_bytes(data[:head_end] + b"".join(others) + b"".join(order(messages)) + end)
    return path


NONE, FILE, MESSAGE, CHUNKS = (getattr(CompressionMode, name) for name in ("NONE", "FILE", "MESSAGE", "STORAGE"))
KINDS = {
    "sqlite3": lambda folder: write(folder / "bag", "sqlite3"),
    "sqlite3, each message compressed": lambda folder: write(folder / "bag", "sqlite3", MESSAGE),
    "sqlite3, the file compressed": lambda folder: write(folder / "bag", "sqlite3", FILE),
    "mcap": lambda folder: write(folder / "bag", "mcap"),
    "mcap, each message compressed": lambda folder: write(folder / "bag", "mcap", MESSAGE),
    "mcap, the file compressed": lambda folder: write(folder / "bag", "mcap", FILE),
    "mcap, chunks compressed": lambda folder: write(folder / "bag", "mcap", CHUNKS),
    "mcap without index": lambda folder: write_unchunked(folder / "bag.mcap"),
    "mcap without index or order": lambda folder: write_unchunked(folder / "bag.mcap", lambda all: all[::-1]),
    "mcap without channels in its summary": lambda folder: write_without_channels(folder / "bag.mcap"),
    "Humble": lambda folder: write_humble(folder / "bag.db3"),
    "split sqlite3": lambda folder: write_split(folder / "bag", "sqlite3"),
    "split mcap": lambda folder: write_split(folder / "bag", "mcap"),
    "ROS 1": lambda folder: write_ros1(folder / "bag.bag"),
    "ROS 1, bz2": lambda folder: write_ros1(folder / "bag.bag", "BZ2"),
    "ROS 1, lz4": lambda folder: write_ros1(folder / "bag.bag", "LZ4"),
}
"""By name, what writes `script` into a folder and returns the path of the bag."""


def data_files(path: Path) -> list[Path]:
    """The files of a bag that hold messages, in their order."""
    if path.is_file():
        return [path]
    files = [file for file in path.iterdir() if file.name != "metadata.yaml"]
    return sorted(files, key=lambda file: (len(file.name), file.name))
