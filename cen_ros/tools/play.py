# SPDX-License-Identifier: Apache-2.0
"""Replays a bag in real time through rclpy, where `ros2 bag play` is not at hand; bags of ROS 1 as well.

python -m cen_ros.tools.play BAG --rate 0.5 --loop --start-offset 3 --clock --subscribers 2
python -m cen_ros.tools.play BAG --ros-args -r /camera/color/image_raw:=/rgb/image
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, count
from pathlib import Path

from builtin_interfaces.msg import Time
from rclpy.exceptions import InvalidTopicNameException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.utilities import remove_ros_args
from rosgraph_msgs.msg import Clock

from cen_model.utils.validation import POSITIVE
from cen_ros.bags.reader import Bag, BagError, BagMessage, BagTopic
from cen_ros.bags.schedule import Schedule
from cen_ros.bags.topics import choose
from cen_ros.context import running

DEPTH = 50
"""Messages that a publisher keeps for slow subscribers."""
CLOCK_HZ = 100
SETTLE_SECONDS = 0.5
"""Between the moment a subscriber is seen and the first message: it may learn of us after we learn of it."""
LINGER_SECONDS = 1.0
"""After the last message: a publisher that leaves takes images with it that have not been read yet."""


class Player(Node):
    """
    Publishes the messages of a bag as their receive times say, in the thread that calls `play`.

    All topics are offered reliably, which suits every subscriber; latched ones of the bag are latched. A topic whose
    type is not installed is left out, with a warning.
    """

    def __init__(self, bag: Bag, rate: float = 1.0, start_offset: float = 0.0, clock: bool = False):
        """`start_offset`: seconds of the bag that are skipped, but for what is latched."""
        super().__init__("bag_player")
        if not POSITIVE.holds(rate):
            raise ValueError(f"--rate: expected a factor above 0, got {rate:g}")
        if not 0 <= start_offset * 1e9 <= bag.duration_ns:
            raise ValueError(f"--start-offset: expected 0 to {bag.duration_ns / 1e9:g} s, got {start_offset:g}")
        self.bag, self.offset_ns = bag, round(start_offset * 1e9)
        self.schedule = Schedule(bag.start_ns + self.offset_ns, rate)
        played = [topic for name, topic in bag.topics.items() if not (clock and name == "/clock")]
        self.outlets = {topic.name: outlet for topic in played if (outlet := self._offer(topic))}
        if not self.outlets:
            raise ValueError(f"{bag.path}: no topic can be played, for none of their types is installed")
        self.clock = self.create_publisher(Clock, "/clock", DEPTH) if clock else None
        self.sent = 0
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def _offer(self, topic: BagTopic) -> Publisher | None:
        kept = DurabilityPolicy.TRANSIENT_LOCAL if topic.latched else DurabilityPolicy.VOLATILE
        qos = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.RELIABLE, durability=kept)
        package, _, name = topic.type.partition("/msg/")
        try:
            return self.create_publisher(getattr(importlib.import_module(f"{package}.msg"), name), topic.name, qos)
        except (ImportError, AttributeError):
            self.get_logger().warning(f"{topic.name} is left out: the type {topic.type} is not installed here")
        except InvalidTopicNameException as error:
            self.get_logger().warning(f"{topic.name} is left out: {' '.join(str(error).split())}")
        return None

    def wait_for_subscribers(self, number: int) -> None:
        """Return once color and depth (all topics, where the bag has no such pair) have `number` subscribers each."""
        if number <= 0:
            return
        names = list(self.outlets)
        with suppress(BagError):
            streams = choose(self.bag)
            names = [name for name in (streams.rgb, streams.depth) if name in self.outlets] or names
        self.get_logger().info(f"waiting for {number} subscriber(s) of {', '.join(names)}")
        while min(self.outlets[name].get_subscription_count() for name in names) < number:
            self._wait(0.05)
        self._wait(SETTLE_SECONDS)

    def play(self, loop: bool = False) -> None:
        """Publish all messages, once or (`loop`) until ROS is shut down (ExternalShutdownException)."""
        longest = max(self.bag.topics[name].count for name in self.outlets)
        pause = self.bag.duration_ns / max(1, longest - 1)  # a period, from the last message to the first
        length = round(self.bag.duration_ns - self.offset_ns + pause)
        for lap in count():
            messages = self._chosen()
            first = next(messages, None)  # opening takes its time, which is not to count
            if first is None:
                raise ValueError(f"{self.bag.path}: nothing to play ({self.bag.damage or 'no messages there'})")
            if lap:
                self._tick_until(self.schedule.due(self.schedule.origin_ns + length))
                self.schedule.again(length)
            else:
                self.schedule.begin(time.monotonic())
            self._publish(chain([first], messages))
            if not loop:
                self._wait(LINGER_SECONDS)
                return

    def summary(self) -> str:
        """What was done, in one line."""
        return (
            f"{self.sent} messages of {len(self.outlets)} topics sent, at most "
            f"{1e3 * self.schedule.late:.1f} ms late; the schedule slipped by {1e3 * self.schedule.slip:.1f} ms"
        )

    def _publish(self, messages: Iterable[BagMessage]) -> None:
        for message in messages:
            due = self.schedule.due(message.receive_ns)
            self._tick_until(due)
            self.schedule.sent(due, time.monotonic())
            self._tell_time(max(message.receive_ns, self.schedule.origin_ns))
            self.outlets[message.topic].publish(message.raw)
            self.sent += 1

    def _chosen(self) -> Iterator[BagMessage]:
        for message in self.bag.messages(list(self.outlets)):
            if message.receive_ns >= self.schedule.origin_ns or self.bag.topics[message.topic].latched:
                yield message

    def _tick_until(self, due: float) -> None:
        """Wait until the monotonic time `due`, telling the time meanwhile."""
        while self.clock is not None and (now := time.monotonic()) + 1 / CLOCK_HZ < due:
            self._tell_time(self.schedule.bag_ns(now))
            self._wait(1 / CLOCK_HZ)
        self._wait(due - time.monotonic())

    def _tell_time(self, nanoseconds: int) -> None:
        if self.clock is not None:
            seconds, rest = divmod(nanoseconds, 10**9)
            self.clock.publish(Clock(clock=Time(sec=seconds, nanosec=rest)))

    def _wait(self, seconds: float) -> None:
        """Spin for that long. Raises ExternalShutdownException when ROS is shut down."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._executor.spin_once(left)


def arguments(argv: list[str]) -> argparse.Namespace:
    """The command line, without the arguments of ROS."""
    parser = argparse.ArgumentParser(
        prog="python -m cen_ros.tools.play", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bag", type=Path, help="a bag of rosbag2 or a .bag of ROS 1")
    parser.add_argument("--rate", type=float, default=1.0, help="times as fast as it was recorded")
    parser.add_argument("--loop", action="store_true", help="again and again; stamps jump back")
    parser.add_argument("--start-offset", type=float, default=0.0, metavar="SECONDS", help="of the bag to skip")
    parser.add_argument("--clock", action="store_true", help="publish the bag's time on /clock, for use_sim_time")
    parser.add_argument("--subscribers", type=int, default=0, help="begin once color and depth have so many each")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """The node `bag_player`; exit code 0 also when it is asked to stop, 1 if the bag cannot be played."""
    argv = sys.argv[1:] if argv is None else argv
    args = arguments(remove_ros_args(argv))
    try:
        with running(argv), Bag(args.bag) as bag:
            player = Player(bag, args.rate, args.start_offset, args.clock)
            try:
                player.wait_for_subscribers(args.subscribers)
                player.get_logger().info(f"playing {args.bag}, {bag.duration_ns / 1e9:.1f} s")
                player.play(args.loop)
            finally:
                print(player.summary())
                if bag.damage:
                    print(f"{args.bag} is damaged: {bag.damage}")
    except ValueError as error:
        print(f"play: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
