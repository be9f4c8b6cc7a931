# SPDX-License-Identifier: Apache-2.0
"""Bags that are cut off, damaged or incomplete: read as far as they go (cen_ros.bags)."""

from __future__ import annotations

import re
import shutil
import sqlite3
import struct
from contextlib import suppress

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed")
from cen_ros.bags.bag_files import ZSTD_MAGIC
from cen_ros.bags.reader import Bag, BagError
from helpers.bag_files import (
    CHUNKS,
    DEPTH,
    FILE,
    IMAGE,
    KINDS,
    MESSAGE,
    RGB,
    STORE,
    data_files,
    script,
    write,
    write_split,
)

EXPECTED = [(topic, time) for topic, time, _ in script()]
FORWARD = [kind for kind in KINDS if kind != "mcap without index or order"]


def read(path):
    """(topic, time) and bytes of the messages that can be read, and the damage."""
    with Bag(path) as bag:
        names = [name for name in (RGB, DEPTH) if name in bag.topics]
        messages = list(bag.messages(names))
        return [(each.topic, each.receive_ns) for each in messages], [each.raw for each in messages], bag.damage


@pytest.mark.parametrize("kind", FORWARD)
def test_what_is_before_a_cut_is_read(tmp_path, kind):
    path = KINDS[kind](tmp_path)
    _, whole, _ = read(path)
    file = data_files(path)[-1]
    data, longest = file.read_bytes(), 0
    for size in sorted({*np.linspace(0, len(data) - 1, 11).astype(int), *range(len(data) - 3, len(data))}):
        file.write_bytes(data[:size])
        try:
            seen, raw, damage = read(path)
        except BagError as error:
            assert str(path) in str(error)
            assert longest == 0, "more of the file, and nothing is read any more"
            continue
        assert seen == EXPECTED[: len(seen)]
        assert raw == whole[: len(raw)]
        assert len(seen) >= longest
        assert damage or len(seen) == len(EXPECTED)
        longest = len(seen)
    assert longest > 0 or kind.endswith("file compressed")  # so few messages are one block of zstd


@pytest.mark.parametrize("kind", FORWARD)
def test_no_byte_of_a_bag_brings_the_reader_down(tmp_path, kind):
    path = KINDS[kind](tmp_path)
    rng = np.random.default_rng(1)
    for file in data_files(path)[:1]:
        data = bytearray(file.read_bytes())
        heads = rng.integers(0, min(400, len(data)), 3)  # where the structure is dense
        for at in (*heads, *rng.integers(0, len(data), 3)):
            broken = bytearray(data)
            broken[at : at + 4] = rng.bytes(4)
            file.write_bytes(broken)
            with suppress(BagError):
                read(path)


@pytest.mark.parametrize("kind", ["sqlite3", "mcap without index", "ROS 1"])
def test_a_tail_of_zeros_is_no_message(tmp_path, kind):
    """As a file system leaves it after a power cut."""
    path = KINDS[kind](tmp_path)
    (file,) = data_files(path)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    with suppress(BagError):
        seen, _, damage = read(path)
        assert seen == EXPECTED[: len(seen)]
        assert damage
        if kind != "sqlite3":
            begin = int(re.search(r"breaks off at byte (\d+)", damage)[1])
            assert begin <= len(data) // 2 + 20_500, "the record in which the zeros begin is the last"


def test_a_bag_of_ros1_without_its_index_is_whole_but_told(tmp_path):
    path = KINDS["ROS 1"](tmp_path)
    data = path.read_bytes()
    (index,) = struct.unpack_from("<Q", data, data.index(b"index_pos=") + len("index_pos="))
    path.write_bytes(data[:index])
    seen, _, damage = read(path)
    assert seen == EXPECTED
    assert damage == "bag.bag: ends without its index"


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_a_lost_file_of_a_split_bag_is_told(tmp_path, storage):
    path = write_split(tmp_path / "bag", storage)
    _, middle, _ = data_files(path)
    middle.unlink()
    seen, _, damage = read(path)
    assert seen == EXPECTED[:8] + EXPECTED[16:]
    assert damage == f"{middle.name} is missing; 16 of 24 messages are left"
    middle.write_bytes(b"")
    seen, _, damage = read(path)
    assert seen == EXPECTED[:8] + EXPECTED[16:]
    assert f"{middle.name}: " in damage


@pytest.mark.parametrize("kind", ["split sqlite3", "split mcap", "sqlite3, each message compressed"])
@pytest.mark.parametrize("text", [None, "rosbag2_bagfile_information: [", "a: b"])
def test_without_its_metadata_the_files_are_found_in_their_order(tmp_path, kind, text):
    path = KINDS[kind](tmp_path)
    (path / "metadata.yaml").unlink()
    if text:
        (path / "metadata.yaml").write_text(text)
    seen, _, damage = read(path)
    assert seen == EXPECTED
    assert damage == ("metadata.yaml cannot be read" if text else "metadata.yaml is missing")


def test_a_damaged_chunk_is_told_and_what_is_before_it_read(tmp_path):
    rng = np.random.default_rng(2)
    lines = script(1000)  # several chunks
    path = write(tmp_path / "bag", "mcap", CHUNKS, lines)
    (file,) = data_files(path)
    data = bytearray(file.read_bytes())
    at = data.rfind(ZSTD_MAGIC, 0, len(data) // 2)
    data[at : at + 64] = rng.bytes(64)
    file.write_bytes(data)
    with Bag(path) as bag:
        assert bag.damage is None  # index and summary are whole
        seen = [(each.topic, each.receive_ns) for each in bag.messages([RGB, DEPTH])]
        assert len(lines) / 4 < len(seen) < len(lines)
        assert seen == [line[:2] for line in lines][: len(seen)]
        assert bag.damage.startswith(f"bag.mcap: torn after {len(seen)} of {len(lines)} messages: ")
    file.write_bytes(data[:-20])  # now the summary is gone as well: the chunks behind the damaged one are found
    with Bag(path) as bag:
        salvaged = [(each.topic, each.receive_ns) for each in bag.messages([RGB, DEPTH])]
        assert len(seen) < len(salvaged) < len(lines)
        assert "the chunk at byte " in bag.damage


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_a_compressed_file_is_read_to_its_last_whole_block(tmp_path, storage):
    lines = script(400)
    (file,) = data_files(write(tmp_path / "bag", storage, FILE, lines))
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    seen, _, damage = read(tmp_path / "bag")
    assert len(lines) / 4 < len(seen) < len(lines) / 2
    assert seen == [line[:2] for line in lines][: len(seen)]
    assert f"{file.name}: compressed data end early" in damage


def test_a_malformed_message_costs_itself_alone(tmp_path):
    path = write(tmp_path / "bag", "sqlite3", MESSAGE)
    (file,) = data_files(path)
    database = sqlite3.connect(file)
    short = bytes(STORE.serialize_cdr(script(1)[0][2], IMAGE))[:200]
    for number, data in ((3, short), (5, b"\x28\xb5\x2f\xfd not zstd"), (6, b"")):
        database.execute("UPDATE messages SET data = ? WHERE id = ?", (data, number))
    database.commit()
    database.close()
    with Bag(path) as bag:
        seen = [(each.topic, each.receive_ns) for each in bag.messages([RGB, DEPTH])]
        assert seen == [line for k, line in enumerate(EXPECTED, 1) if k not in (3, 5, 6)]
        assert f"2 message(s) of {RGB} are malformed, the first: " in bag.damage
        assert f"1 message(s) of {DEPTH} are malformed" in bag.damage
        list(bag.messages([DEPTH]))
        assert RGB not in bag.damage, "damage is of the latest reading"


def test_what_a_killed_recorder_left_in_sqlites_log_is_read(tmp_path):
    path = write(tmp_path / "bag", "sqlite3")
    (file,) = data_files(path)
    database = sqlite3.connect(file)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA wal_autocheckpoint = 0")
    extra = bytes(STORE.serialize_cdr(script(1)[0][2], IMAGE))
    last = EXPECTED[-1][1] + 5
    database.execute("INSERT INTO messages(topic_id, timestamp, data) VALUES (1, ?, ?)", (last, extra))
    database.commit()
    killed = tmp_path / "killed"
    shutil.copytree(path, killed)
    database.close()
    seen, raw, damage = read(killed)
    assert seen == [*EXPECTED, (RGB, last)]
    assert raw[-1] == extra
    assert damage is None
