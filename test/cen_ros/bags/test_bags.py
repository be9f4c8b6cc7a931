# SPDX-License-Identifier: Apache-2.0
"""Bags that are whole, of every kind, read and written (cen_ros.bags)."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed")
from rosbags import rosbag1, rosbag2
from rosbags.rosbag2 import StoragePlugin
from rosbags.typesys import get_types_from_msg

from cen_ros.bags.reader import Bag, BagError
from cen_ros.bags.writer import BagWriter
from helpers.bag_files import (
    DEPTH,
    IMAGE,
    KINDS,
    RGB,
    START,
    STEP,
    STORE,
    STORE1,
    data_files,
    header,
    pixels,
    script,
    write,
    write_ros1,
    write_split,
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_bag_gives_the_same_messages(tmp_path, kind):
    with Bag(KINDS[kind](tmp_path)) as bag:
        assert {name: (topic.type, topic.count) for name, topic in bag.topics.items()} == {
            RGB: (IMAGE, 12),
            DEPTH: (IMAGE, 12),
        }
        assert (bag.start_ns, bag.duration_ns) == (START, 11 * STEP + 1_000_000)
        messages = list(bag.messages([DEPTH, RGB]))
        assert bag.damage is None
        assert [each.topic for each in bag.messages([DEPTH])] == [DEPTH] * 12
    assert [(each.topic, each.receive_ns) for each in messages] == [line[:2] for line in script()]
    for each, (_, _, expected) in zip(messages, script(), strict=True):
        assert each.type == IMAGE
        assert each.message.header == expected.header  # of ROS 2, without `seq`
        assert (each.message.height, each.message.width, each.message.encoding, each.message.step) == (
            *(expected.height, expected.width),
            *(expected.encoding, expected.step),
        )
        np.testing.assert_array_equal(each.message.data, expected.data)
        assert each.raw == bytes(STORE.serialize_cdr(expected, IMAGE))


def test_one_file_of_a_bag_is_a_bag(tmp_path):
    first, *_ = data_files(write_split(tmp_path / "bag", "mcap"))
    with Bag(first) as bag:
        assert sum(1 for _ in bag.messages([RGB, DEPTH])) == 8
        assert bag.damage is None


def test_messages_of_ros1_become_those_of_ros2(tmp_path):
    path = tmp_path / "bag.bag"
    types = STORE1.types
    roi = types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    k = np.arange(9.0)
    info = types["sensor_msgs/msg/CameraInfo"](
        header(START, STORE1), 24, 32, "plumb_bob", np.zeros(5), k, np.eye(3).ravel(), np.arange(12.0), 0, 0, roi
    )
    place = types["geometry_msgs/msg/Vector3"](1.0, 2.0, 3.0)
    turn = types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0)
    transform = types["geometry_msgs/msg/Transform"](place, turn)
    stamped = types["geometry_msgs/msg/TransformStamped"](header(START, STORE1, "map"), "camera", transform)
    STORE1.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", "tf/msg/tfMessage"))
    with rosbag1.Writer(path) as writer:
        connection = writer.add_connection("/info", "sensor_msgs/msg/CameraInfo", typestore=STORE1, latching=1)
        writer.write(connection, START, STORE1.serialize_ros1(info, "sensor_msgs/msg/CameraInfo"))
        connection = writer.add_connection("/tf_static", "tf/msg/tfMessage", typestore=STORE1)
        writer.write(connection, START, STORE1.serialize_ros1(types["tf/msg/tfMessage"]([]), "tf/msg/tfMessage"))
        connection = writer.add_connection("tf", "tf/msg/tfMessage", typestore=STORE1)
        message = types["tf/msg/tfMessage"]([stamped])
        writer.write(connection, START + 1, STORE1.serialize_ros1(message, "tf/msg/tfMessage"))
    with Bag(path) as bag:
        assert bag.topics["tf"].type == "tf2_msgs/msg/TFMessage"
        assert {name: topic.latched for name, topic in bag.topics.items()} == {
            "/info": True,
            "/tf_static": True,
            "tf": False,
        }
        info, tf = bag.messages(["/info", "tf"])
        assert bag.damage is None
    np.testing.assert_array_equal(info.message.k, k)  # K in ROS 1
    assert tf.message.transforms[0].child_frame_id == "camera"
    assert tf.message.transforms[0].transform.translation.z == 3.0
    assert STORE.deserialize_cdr(tf.raw, tf.type) == tf.message


CUSTOM = "my_robot_msgs/msg/Reading"


@pytest.mark.parametrize(
    "definition, value",
    [("std_msgs/Header header\nfloat64 value\n" + "=" * 80 + "\nMSG: std_msgs/Header\n"
      "builtin_interfaces/Time stamp\nstring frame_id\n", 1.5), ("no { definition", None), ("", None)],
)  # fmt: skip
def test_types_that_ros_does_not_bring_are_learned_or_left_as_bytes(tmp_path, definition, value):
    raw = bytes(STORE.serialize_cdr(header(START), "std_msgs/msg/Header")) + np.float64(1.5).tobytes()
    raw = raw[:20] + raw[20:28].ljust(12, b"\0") + raw[28:]
    with rosbag2.Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        custom = writer.add_connection("/reading", CUSTOM, msgdef=definition, rihs01="RIHS01_" + "0" * 64)
        rgb = writer.add_connection(RGB, IMAGE, typestore=STORE)
        for k, (_, time, message) in enumerate(script(2)[::2]):
            writer.write(custom, time - 1, raw)
            writer.write(rgb, time, STORE.serialize_cdr(message, IMAGE))
            assert k < 2
    with Bag(tmp_path / "bag") as bag, BagWriter(tmp_path / "copy", types=bag.types) as copy:
        assert bag.topics["/reading"].type == CUSTOM
        messages = list(bag.messages(list(bag.topics)))
        assert bag.damage is None
        for each in messages:
            copy.add_raw(each.topic, each.type, each.raw, each.receive_ns)
    with Bag(tmp_path / "copy") as bag:
        copied = list(bag.messages(list(bag.topics)))
    assert [(each.topic, each.raw) for each in copied] == [(each.topic, each.raw) for each in messages]
    assert repr(copied[0].message) == repr(messages[0].message), "the copy defines its types as well"
    assert [each.topic for each in messages] == ["/reading", RGB] * 2
    assert messages[0].raw == raw
    assert messages[0].message is None if value is None else messages[0].message.value == value
    np.testing.assert_array_equal(messages[3].message.data, pixels(1, 3).reshape(-1))


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
@pytest.mark.parametrize("compression", [None, "zstd"])
def test_what_is_written_is_read_by_rosbags_and_by_us(tmp_path, storage, compression):
    path = tmp_path / "new"
    still = STORE.types["tf2_msgs/msg/TFMessage"]([])
    with BagWriter(path, compression, storage) as writer:
        writer.add("/tf_static", "tf2_msgs/msg/TFMessage", still, START)
        for topic, time, message in script():
            writer.add_raw(topic, IMAGE, STORE.serialize_cdr(message, IMAGE), time)
        assert not path.exists()
    assert [file.name for file in tmp_path.iterdir()] == ["new"]
    with Bag(path) as bag, rosbag2.Reader(path) as reader:
        read = [(each.topic, each.receive_ns, each.raw) for each in bag.messages(list(bag.topics))]
        assert read == [(connection.topic, time, bytes(raw)) for connection, time, raw in reader.messages()]
        assert [name for name, topic in bag.topics.items() if topic.latched] == ["/tf_static"]
        assert bag.damage is None
    assert len(read) == 25


def test_a_bag_is_written_whole_or_not_at_all(tmp_path):
    with pytest.raises(KeyboardInterrupt), BagWriter(tmp_path / "new") as writer:
        writer.add(RGB, IMAGE, script(1)[0][2], START)
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    (tmp_path / "old").mkdir()
    with pytest.raises(BagError, match="old: exists already; remove it, or choose another path"):
        BagWriter(tmp_path / "old")
    with pytest.raises(BagError, match="storage: expected one of sqlite3, mcap, got 'tar'"):
        BagWriter(tmp_path / "new", storage="tar")
    with pytest.raises(BagError, match="compression: expected zstd or none, got 'gzip'"):
        BagWriter(tmp_path / "new", compression="gzip")


def test_what_is_no_bag_is_refused_in_words(tmp_path):
    with pytest.raises(BagError, match="nothing: no such file or folder"):
        Bag(tmp_path / "nothing")
    with pytest.raises(BagError, match=r"not a bag: no metadata.yaml that can be read, nor .mcap or .db3 files"):
        Bag(tmp_path)
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(BagError, match=r"not a bag: expected a folder of rosbag2, or a .mcap, .db3 or .bag file"):
        Bag(tmp_path / "x.txt")
    for name in ("x.db3", "x.mcap", "x.bag", "x.mcap.zstd"):
        (tmp_path / name).write_text("this is not what its name says")
        with pytest.raises(BagError, match=name):
            Bag(tmp_path / name)
    for storage in ("sqlite3", "mcap"):
        with pytest.raises(BagError, match="no messages"):
            Bag(write(tmp_path / storage, storage, lines=[]))
    with pytest.raises(BagError, match="no messages"):
        Bag(write_ros1(tmp_path / "empty.bag", lines=[]))
    with Bag(write(tmp_path / "bag", "mcap")) as bag, pytest.raises(BagError, match=f"no topic /nope; .* {RGB}"):
        next(bag.messages(["/nope"]))
