# SPDX-License-Identifier: Apache-2.0
"""Two minutes of a robot's day at 30 Hz: cameras fail and come back, and the node neither loses count nor grows."""

from __future__ import annotations

import time
from collections import defaultdict
from itertools import count
from queue import Empty
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cen_ros[ros]'")
from cen_ros.segmentation.measures import resident_bytes
from helpers.composed import Reckoned
from helpers.segmentation_process import frame, image

SECONDS, RATE = 120, 30
SIZE = (240, 320)


def trouble(second):
    """What goes wrong in a second of the day."""
    return {20: "no depth", 21: "no depth", 22: "no depth", 40: "no rgb", 60: "broken", 80: "time is set back"}.get(
        second
    )


def test_two_minutes(compose):
    node = compose(Reckoned(seconds=0.01), depth_timeout=1.0, diagnostics_period=0.5)
    labels = node.ready(node.listen("label", note=lambda label: SimpleNamespace(header=label.header)))
    rgb, depth = frame(0, SIZE)
    stamps, groups, got, memory = count(1_000_000_000, 33), defaultdict(set), set(), {}
    begun = time.monotonic()
    for i in range(SECONDS * RATE):
        second = i // RATE
        if trouble(second) == "time is set back" and i % RATE == 0:
            stamps = count(0, 33)
        if i % RATE == 0:
            assert node.set(overlay_alpha=second % 10 / 10) == []
        at = next(stamps)
        color, deep = image(rgb, "rgb8", at), image(depth, "16UC1", at)
        if trouble(second) == "broken":
            color.data = color.data[: len(color.data) // 2]
        if trouble(second) != "no rgb":
            node.rgb.publish(color)
        if trouble(second) != "no depth":
            node.depth.publish(deep)
        stamp = color.header.stamp
        groups[trouble(second)].add((stamp.sec, stamp.nanosec))
        if second in (10, SECONDS - 1):
            memory[second] = resident_bytes()
        time.sleep(max(0.0, begun + (i + 1) / RATE - time.monotonic()))  # a camera's clock
    try:
        while True:
            header = labels.get(timeout=1).header
            got.add((header.stamp.sec, header.stamp.nanosec))
    except Empty:
        pass
    values = node.diagnosis(lambda status: True)["values"]
    sent, alone = groups[None], groups["no depth"]
    lost = len(sent - got)
    replaced = values.get("dropped: a newer one came", 0)
    assert values["dropped: not usable"] >= RATE - 5, "the broken ones"
    unpaired = values.get("dropped: no depth of their time", 0)
    assert lost <= replaced + unpaired + RATE, "what is not labeled is counted, but for a second of a busy machine's"
    assert len(got) > 0.9 * len(sent)
    assert memory[SECONDS - 1] < 1.05 * memory[10]
    assert len(got & alone) > RATE, "RGB alone was labeled while depth was missing"
