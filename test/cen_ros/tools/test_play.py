# SPDX-License-Identifier: Apache-2.0
"""Bags replayed over real DDS by a process of their own, and the schedule of their messages."""

from __future__ import annotations

import signal
import sys
import time
from itertools import pairwise
from queue import SimpleQueue

import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed")
pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cen_ros[ros]'")
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosbags import rosbag2
from rosbags.rosbag2 import StoragePlugin
from rosbags.typesys import get_types_from_msg
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String

from cen_ros.bags.schedule import SLACK_SECONDS, Schedule
from cen_ros.bags.writer import LATCHED
from helpers.bag_files import DEPTH, IMAGE, RGB, START, STEP, STORE, STORE1, script, write_ros1
from helpers.ros_graph import SECONDS, Process, own_namespace

CUSTOM = "my_robot_msgs/msg/Reading"
PATIENT = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)


class Listener:
    """Subscriptions to the images of one player, which has a namespace of its own."""

    def __init__(self, graph):
        self.graph, self.namespace, self.subscriptions = graph, own_namespace(), []
        self.rgb, self.depth = self.listen(RGB), self.listen(DEPTH)

    def listen(self, topic, kind=Image, qos=PATIENT) -> SimpleQueue:
        """(monotonic time, message) of what comes."""
        here = SimpleQueue()
        name = self.namespace + topic
        take = lambda message: here.put((time.monotonic(), message))  # noqa: E731
        self.subscriptions.append(self.graph.node.create_subscription(kind, name, take, qos))
        return here

    def play(self, bag, *arguments) -> Process:
        """The process, which waits for these subscriptions."""
        topics = [
            word for name in (RGB, DEPTH, "/latched", "/clock") for word in ("-r", f"{name}:={self.namespace}{name}")
        ]
        command = [sys.executable, "-m", "cen_ros.tools.play", bag, "--subscribers", "1", *arguments]
        return Process([*command, "--ros-args", *topics])

    def close(self):
        for subscription in self.subscriptions:
            self.graph.node.destroy_subscription(subscription)


@pytest.fixture
def listener(graph):
    listener = Listener(graph)
    yield listener
    listener.close()


def take(queue, number):
    return [queue.get(timeout=SECONDS) for _ in range(number)]


def frame_numbers(received) -> list[int]:
    """Which frames of `script` these are, by their stamp."""
    stamps = [message.header.stamp for _, message in received]
    return [(stamp.sec * 10**9 + stamp.nanosec - START) // STEP for stamp in stamps]


def slip_of(player) -> float:
    """By how many seconds the player says that its schedule slipped."""
    return float(player.wait_for_line("the schedule slipped by").split()[-2]) / 1000


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """Color and depth of 12 frames, 0.1 s apart; a latched topic that speaks once; a type that nobody has."""
    path = tmp_path_factory.mktemp("bags") / "bag"
    STORE.register(get_types_from_msg("float64 value", CUSTOM))
    with rosbag2.Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:

        def channel(topic, kind, *qos):
            connection = writer.add_connection(topic, kind, typestore=STORE, offered_qos_profiles=qos)
            return lambda stamp, message: writer.write(connection, stamp, STORE.serialize_cdr(message, kind))

        latched, reading = channel("/latched", "std_msgs/msg/String", LATCHED), channel("/reading", CUSTOM)
        old_clock = channel("/clock", "rosgraph_msgs/msg/Clock")
        old_clock(
            START + STEP, STORE.types["rosgraph_msgs/msg/Clock"](STORE.types["builtin_interfaces/msg/Time"](1, 0))
        )
        images = {topic: channel(topic, IMAGE) for topic in (RGB, DEPTH)}
        latched(START, STORE.types["std_msgs/msg/String"]("still here"))
        for topic, stamp, message in script():
            images[topic](stamp, message)
            reading(stamp, STORE.types[CUSTOM](1.0))
    return path


def test_messages_come_in_their_order_at_their_time_as_they_are(listener, bag):
    player = listener.play(bag, "--rate", "4")
    rgb, depth = take(listener.rgb, 12), take(listener.depth, 12)
    assert player.wait() == 0, player.said()
    assert frame_numbers(rgb) == frame_numbers(depth) == list(range(12))
    expected = {topic: [message for name, _, message in script() if name == topic] for topic in (RGB, DEPTH)}
    for (_, here), there in zip(rgb + depth, expected[RGB] + expected[DEPTH], strict=True):
        assert here == deserialize_message(bytes(STORE.serialize_cdr(there, IMAGE)), Image)
    assert 0.05 < rgb[-1][0] - rgb[0][0] < 11 * 0.025 + slip_of(player) + 0.3
    assert "26 messages of 4 topics sent" in player.said()
    assert player.said().count("/reading is left out: the type my_robot_msgs/msg/Reading is not installed") == 1


def test_a_loop_begins_again_at_the_offset_until_it_is_stopped(listener, bag):
    clock = listener.listen("/clock", Clock, 50)
    player = listener.play(bag, "--start-offset", "0.75", "--loop", "--clock")
    rgb = take(listener.rgb, 9)
    late = listener.listen("/latched", String, QoSProfile(depth=5, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    assert late.get(timeout=SECONDS)[1].data == "still here"
    assert player.stop(signal.SIGINT) == 0, player.said()
    rounds = (time.monotonic() - rgb[0][0]) / 0.4
    assert slip_of(player) < 2
    assert frame_numbers(rgb) == [8, 9, 10, 11, 8, 9, 10, 11, 8]
    # From the last frame of a round to the first of the next, one period, as between all others.
    gaps = [after[0] - before[0] for before, after in pairwise(rgb)]
    assert min(gaps) > 0.02
    times = []
    while not clock.empty():
        told = clock.get()[1].clock
        times.append(told.sec * 10**9 + told.nanosec)
    begin = START + 750_000_000
    assert min(times) >= begin
    assert {START + k * STEP for k in range(8, 12)} <= set(times)
    backwards = [k for k in range(1, len(times)) if times[k] < times[k - 1]]
    assert 2 <= len(backwards) <= rounds
    assert all(times[k] < START + 8 * STEP for k in backwards)
    inside = [b - a for a, b in pairwise(times) if b > a]
    assert sorted(inside)[len(inside) // 2] < 50_000_000, "time is told more often than messages come"


def test_a_bag_of_ros1_is_played_as_ros2(listener, tmp_path):
    player = listener.play(write_ros1(tmp_path / "bag.bag", lines=script(3, STORE1)), "--rate", "4")
    rgb = take(listener.rgb, 3)
    assert player.wait() == 0
    for (_, here), (_, _, there) in zip(rgb, script(3)[::2], strict=True):
        assert here == deserialize_message(bytes(STORE.serialize_cdr(there, IMAGE)), Image)


def test_a_torn_bag_is_played_as_far_as_it_reads(listener, bag, tmp_path):
    file = tmp_path / "torn.mcap"
    data = (bag / "bag.mcap").read_bytes()
    file.write_bytes(data[: len(data) // 2])
    player = listener.play(file, "--rate", "4")
    assert player.wait() == 0
    assert "torn.mcap is damaged: torn.mcap: breaks off at byte" in player.said()
    assert frame_numbers(take(listener.rgb, 4)) == list(range(4))


def test_a_player_that_waits_can_be_stopped(bag):
    player = Process([sys.executable, "-m", "cen_ros.tools.play", bag, "--subscribers", "1"])
    player.wait_for_line(f"waiting for 1 subscriber.s. of {RGB}, {DEPTH}")
    assert player.stop(signal.SIGTERM) == 0
    assert "0 messages of 4 topics sent" in player.said()
    assert "Traceback" not in player.said()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--rate", "0"], "--rate: expected a factor above 0, got 0"),
        (["--rate", "nan"], "--rate: expected a factor above 0, got nan"),
        (["--rate", "inf"], "--rate: expected a factor above 0, got inf"),
        (["--start-offset", "nan"], "--start-offset: expected 0 to 1.101 s, got nan"),
        (["--start-offset", "9"], "--start-offset: expected 0 to 1.101 s, got 9"),
    ],
)
def test_what_is_wrong_is_said(bag, arguments, words):
    player = Process([sys.executable, "-m", "cen_ros.tools.play", bag, *arguments])
    assert player.wait() == 1
    assert player.said().splitlines()[-1] == f"play: {words}"


def test_late_messages_keep_their_distance_and_small_delays_do_not_add_up():
    schedule = Schedule(origin_ns=1_000_000_000, rate=2.0)
    schedule.begin(100.0)
    assert schedule.due(0) == 100.0
    assert schedule.due(1_500_000_000) == 100.25
    assert schedule.bag_ns(100.25) == 1_500_000_000
    for k in range(10):  # each a little late: the schedule stays
        due = schedule.due(1_000_000_000 + k * 100_000_000)
        assert due == pytest.approx(100 + k * 0.05)
        schedule.sent(due, due + 0.9 * SLACK_SECONDS)
    assert schedule.slip == 0
    assert schedule.late == pytest.approx(0.9 * SLACK_SECONDS)
    due = schedule.due(2_000_000_000)
    schedule.sent(due, due + 0.3)
    assert schedule.due(2_100_000_000) == pytest.approx(due + 0.3 + 0.05)
    assert (schedule.late, schedule.slip) == pytest.approx((0.3, 0.3))
    schedule.again(3_000_000_000)
    assert schedule.due(1_000_000_000) == pytest.approx(100 + 0.3 + 1.5)
