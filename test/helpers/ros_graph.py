# SPDX-License-Identifier: Apache-2.0
"""A real ROS graph for tests: a node of ours, and processes under test, on a DDS domain of this test session alone.

Everything is awaited through events; no wait takes SECONDS unless its test fails.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from itertools import count
from queue import SimpleQueue

import rclpy
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data

from cen_ros.tools.child_processes import LEAKS, private_environment
from helpers.paths import CONFIG

SECONDS = 60
NUMBERS = count()
PROFILE = CONFIG / "fastdds_large_images.xml"
ENVIRONMENT = private_environment(PROFILE)


def own_namespace() -> str:
    """One that nobody else has, in this test session or in another on this machine, which may share its domain."""
    return f"/test_{os.getpid()}_{next(NUMBERS)}"


class Graph:
    """Our side of the graph, spinning in a thread of its own."""

    def __init__(self):
        # rmw reads this process's environment, once; other tests make their own for the processes that they start.
        for name in LEAKS:
            os.environ.pop(name, None)
        os.environ.update(
            {name: ENVIRONMENT[name] for name in ENVIRONMENT if name.startswith(("ROS_", "RMW_", "FAST"))}
        )
        self.context = rclpy.Context()
        rclpy.init(context=self.context, signal_handler_options=rclpy.SignalHandlerOptions.NO)
        self._executor = SingleThreadedExecutor(context=self.context)
        self.node = rclpy.create_node("tester", context=self.context)
        self.add, self.remove = self._executor.add_node, self._executor.remove_node
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin)
        self._thread.start()

    def close(self):
        self._executor.shutdown()
        self._thread.join(SECONDS)
        self.node.destroy_node()
        self.context.try_shutdown()

    def forget(self):
        """Take everything of ours out of the graph: what is there costs every wait."""

        def destroy():
            for subscription in list(self.node.subscriptions):
                self.node.destroy_subscription(subscription)
            for publisher in list(self.node.publishers):
                if publisher.topic_name not in ("/rosout", "/parameter_events"):
                    self.node.destroy_publisher(publisher)

        self.run(destroy)

    def run(self, work):
        """What `work()` returns, in the thread in which everything else of this graph happens."""
        done = threading.Event()
        task = self._executor.create_task(work)
        task.add_done_callback(lambda _: done.set())
        assert done.wait(SECONDS), "it does not end"
        return task.result()

    def publisher(self, message_type, topic) -> Publisher:
        return Publisher(self.node, message_type, topic)

    def listen(self, message_type, topic, qos=10, note=lambda message: message) -> SimpleQueue:
        """A queue of what arrives, as `note` has it; returns once the publisher has been found."""
        received, matched = SimpleQueue(), threading.Event()
        events = SubscriptionEventCallbacks(matched=lambda status: status.current_count and matched.set())
        take = lambda message: received.put(note(message))  # noqa: E731
        self.node.create_subscription(message_type, topic, take, qos, event_callbacks=events)
        assert matched.wait(SECONDS), f"nobody publishes {topic}"
        return received

    def call(self, service_type, name, **fields):
        """The response of a service."""
        client = self.node.create_client(service_type, name)
        assert client.wait_for_service(SECONDS), f"no service {name}"
        answered = threading.Event()
        future = client.call_async(service_type.Request(**fields))
        future.add_done_callback(lambda _: answered.set())
        assert answered.wait(SECONDS), f"{name} does not answer"
        self.node.destroy_client(client)
        return future.result()


class Publisher:
    """A publisher with the QoS of camera drivers that knows when it is listened to."""

    def __init__(self, node, message_type, topic):
        self._changed, self._count = threading.Condition(), 0
        events = PublisherEventCallbacks(matched=self._on_matched)
        self._publisher = node.create_publisher(message_type, topic, qos_profile_sensor_data, event_callbacks=events)
        self.publish = self._publisher.publish

    def _on_matched(self, status):
        with self._changed:
            self._count = status.current_count
            self._changed.notify_all()

    def wait_for_listeners(self, count):
        with self._changed:
            assert self._changed.wait_for(lambda: self._count == count, SECONDS), f"{self._count} instead of {count}"


class Process:
    """A process under test, on our domain, and what it says."""

    def __init__(self, command, **environment):
        self._process = subprocess.Popen(
            [str(part) for part in command],
            env={**ENVIRONMENT, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._changed, self._lines, self._ended = threading.Condition(), [], False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for_line(self, pattern) -> str:
        """The first line said so far, or from now on, in which `pattern` is found."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or re.search(pattern, "".join(self._lines)), SECONDS)
            found = [line for line in self._lines if re.search(pattern, line)]
            assert found, f"{pattern!r} was not said, but:\n{''.join(self._lines)}"
            return found[0]

    def said(self) -> str:
        """Everything so far."""
        with self._changed:
            return "".join(self._lines)

    def stop(self, number=signal.SIGINT) -> int:
        """Send a signal; the exit code."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self.wait()

    def wait(self, seconds=SECONDS) -> int:
        """The exit code. A process that does not end is killed, and its group with it."""
        try:
            return self._process.wait(seconds)
        finally:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._reader.join(SECONDS)
