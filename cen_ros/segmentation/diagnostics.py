# SPDX-License-Identifier: Apache-2.0
"""How the node is doing, once a period: as diagnostic_msgs where that is installed, else as JSON on a String topic."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from std_msgs.msg import Header, String

from cen_ros.segmentation.measures import UNHEARD, UNUSABLE, Summary, resident_bytes
from cen_ros.segmentation.networks import Networks
from cen_ros.segmentation.outputs import COMPLAINT_SECONDS
from cen_ros.segmentation.pipeline import Pipeline
from cen_ros.segmentation.settings import Settings
from cen_ros.segmentation.watch import Match, Offer, Stream, explain, offset_warning

OK, WARN = 0, 1  # as in DiagnosticStatus


class Diagnostics:
    """Reports on an active pipeline, and logs why no labels come, until `stop`."""

    def __init__(self, node: LifecycleNode, pipeline: Pipeline, networks: Networks, settings: Settings):
        self._node, self._pipeline, self._networks = node, pipeline, networks
        array = _diagnostic_array()
        self._as_message = _as_array if array else _as_json
        # Another type on a topic that others know as theirs would help nobody.
        topic = settings.topics["diagnostics"] if array else "~/diagnostics"
        self._publisher = node.create_publisher(array or String, topic, 10)
        self._window = max(COMPLAINT_SECONDS, settings.diagnostics_period)
        self._begun = self._then = self._complained = monotonic()
        self._recent: deque[tuple[float, Counter[str]]] = deque()  # counts of the last window, by when they were taken
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still, which is worth a warning
        self._timer = node.create_timer(settings.diagnostics_period, self._tick, clock=steady)

    def stop(self) -> None:
        """Report no more."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)

    def _tick(self) -> None:
        now = monotonic()
        summary = self._pipeline.measures.summary()
        seconds, self._then = now - self._then, now
        self._recent.append((now, Counter(summary.counts)))
        while self._recent[0][0] <= now - self._window:
            self._recent.popleft()
        full = now - self._begun >= self._window
        counts = sum((each for _, each in self._recent), Counter())
        trouble = self._trouble(summary, counts, full)
        if trouble and now - self._complained >= COMPLAINT_SECONDS:
            self._node.get_logger().warning(trouble)
            self._complained = now
        state = "nobody listens" if counts[UNHEARD] and not counts["labels"] else "labeling"
        self._publish(trouble, state, self._values(summary, seconds))

    def _trouble(self, summary: Summary, counts: Counter[str], full: bool) -> str | None:
        """What the user should know of; None while all is well, or too little time has passed to tell."""
        pipeline, needs_depth = self._pipeline, self._networks.needs_depth
        if pipeline.depth_missing and needs_depth and counts["rgb"]:
            return f"no depth on {pipeline.topics[1]}: RGB is labeled alone"
        if counts[UNUSABLE] and not counts["labels"]:
            return f"no labels: {counts[UNUSABLE]} frames were not usable, the last for this: {summary.failure}"
        if counts["pairs"] or (counts["rgb"] and not needs_depth):
            return self._offset_trouble(summary) or (self._info_trouble(counts) if full else None)
        if not full:
            return None
        return self._silence(summary, counts) if needs_depth else f"no labels: {self._stream(0, counts).silence()}"

    def _offset_trouble(self, summary: Summary) -> str | None:
        live = self._pipeline.live
        return offset_warning(summary.difference_ms, live.slop_ns / 1e6, live.offset_ns / 1e6)

    def _info_trouble(self, counts: Counter[str]) -> str | None:
        if not self._pipeline.info_missing:
            return None
        return f"no points and no camera_info: {self._stream(2, counts).silence()}"

    def _silence(self, summary: Summary, counts: Counter[str]) -> str:
        live, nearest = self._pipeline.live, self._pipeline.nearest_ns
        nearest_ms = None if nearest is None else nearest / 1e6
        match = Match(live.slop_ns / 1e6, live.offset_ns / 1e6, nearest_ms, summary.lag_ms, summary.late_ms)
        rgb, depth = (replace(self._stream(i, counts), fault=summary.faults[i]) for i in (0, 1))
        return explain(rgb, depth, match)

    def _stream(self, number: int, counts: Counter[str]) -> Stream:
        subscription = self._pipeline.subscriptions[number]
        infos = self._node.get_publishers_info_by_topic(subscription.topic_name)
        offers = [
            Offer(info.node_name, info.topic_type, info.qos_profile.reliability == ReliabilityPolicy.RELIABLE)
            for info in infos
        ]
        message = f"sensor_msgs/msg/{subscription.msg_type.__name__}"
        reliable = subscription.qos_profile.reliability == ReliabilityPolicy.RELIABLE
        came = counts[("rgb", "depth", "camera_info")[number]]
        return Stream(subscription.topic_name, message, reliable, offers, came)

    def _values(self, summary: Summary, seconds: float) -> dict[str, Any]:
        """Flat, as diagnostics are: rates in 1/s, times in ms, memory in MB."""
        values: dict[str, Any] = {"engine": str(self._networks), "device": self._networks.device}
        with_depth = self._networks.needs_depth and not self._pipeline.depth_missing
        values["answers"] = "RGB and depth" if with_depth else "RGB alone"
        for name in ("rgb", "depth", "pairs", "labels"):
            values[f"{name} per second"] = round(summary.counts[name] / seconds, 2)
        values |= {f"dropped: {reason}": count for reason, count in summary.drops.items()}
        for stage, percentiles in summary.stages_ms.items():
            median, p95 = (round(value, 2) for value in percentiles)
            values |= {f"{stage} ms, median": median, f"{stage} ms, p95": p95}
        if summary.difference_ms is not None:
            values["RGB stamp - depth stamp ms"] = round(summary.difference_ms, 3)
        values["memory MB"] = round(resident_bytes() / 1e6, 1)
        return values

    def _publish(self, trouble: str | None, state: str, values: dict[str, Any]) -> None:
        status = {
            "name": self._node.get_fully_qualified_name(),
            "level": WARN if trouble else OK,
            "message": trouble or state,
            "values": values,
        }
        self._publisher.publish(self._as_message(status, self._node.get_clock().now().to_msg()))


def _diagnostic_array() -> type | None:
    try:
        from diagnostic_msgs.msg import DiagnosticArray
    except ImportError:
        return None
    return DiagnosticArray


def subscribe(node: Node, segmentation: str, heard: Callable[[dict[str, Any]], object]) -> None:
    """Let `heard` be told each status of the segmentation node of that name, with values as JSON has them."""
    array = _diagnostic_array()
    if array is None:
        node.create_subscription(String, f"{segmentation}/diagnostics", lambda msg: heard(_from_json(msg)), 10)
        return

    def take(msg: Any) -> None:
        for status in msg.status:
            if status.name == node.resolve_topic_name(segmentation):
                heard(_from_status(status))

    node.create_subscription(array, "/diagnostics", take, 10)


def _from_json(msg: String) -> dict[str, Any]:
    return json.loads(msg.data)["status"][0]


def _from_status(status: Any) -> dict[str, Any]:
    values = {pair.key: json.loads(pair.value) for pair in status.values}
    return {"name": status.name, "level": status.level[0], "message": status.message, "values": values}


def _as_array(status: dict[str, Any], stamp: Time) -> Any:
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

    pairs = [KeyValue(key=key, value=json.dumps(value, ensure_ascii=False)) for key, value in status["values"].items()]
    fields = {**status, "level": bytes([status["level"]]), "values": pairs}
    return DiagnosticArray(header=Header(stamp=stamp), status=[DiagnosticStatus(**fields)])


def _as_json(status: dict[str, Any], stamp: Time) -> String:
    return String(data=json.dumps({"stamp": stamp.sec + stamp.nanosec / 1e9, "status": [status]}))
