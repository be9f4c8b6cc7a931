# SPDX-License-Identifier: Apache-2.0
"""The node among cameras that fail, drift and stop: over DDS, composed with them in one process."""

from __future__ import annotations

import time
from itertools import count
from queue import Empty

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cen_ros[ros]'")
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import CompressedImage, Image

from helpers.composed import Reckoned, pixels
from helpers.ros_graph import SECONDS, Publisher
from helpers.segmentation_process import START_MS, Segmentation, frame, image


def test_depth_that_stops_is_done_without_and_taken_up_again(compose):
    node = compose(depth_timeout=0.3)
    labels = node.ready(node.listen("label"))
    alone = None
    for i in range(1000):  # until the node has given depth up
        rgb = image(frame(1)[0], "rgb8", 100 * i)
        node.rgb.publish(rgb)
        try:
            alone = labels.get(timeout=0.05)
        except Empty:
            continue
        break
    assert (pixels(alone) == 7).all(), "the answer of RGB alone"
    status = node.diagnosis(lambda status: status["values"]["answers"] == "RGB alone")
    assert status["level"] == 1 and "no depth on" in status["message"]

    message = None
    for i in range(1000, 2000):  # until depth has been seen again
        message = node.send(seed=2, milliseconds=100 * i)
        label = labels.get(timeout=SECONDS)
        if label.header == message.header and (pixels(label) != 7).any():
            break
    np.testing.assert_array_equal(pixels(label), frame(2)[0][..., 0] // 32)
    milliseconds = count(100 * (i + 1), 100)
    node.diagnosis(
        lambda status: status["values"]["answers"] == "RGB and depth" and status["level"] == 0,
        meanwhile=lambda: node.send(seed=2, milliseconds=next(milliseconds)),
    )


def test_weights_for_rgb_alone_need_no_depth_camera(compose):
    node = compose(Reckoned(needs_depth=False))
    labels, numbers = node.listen("label"), count()
    node.rgb.wait_for_listeners(1)

    def film():
        node.rgb.publish(image(frame(1)[0], "rgb8", 100 * next(numbers)))

    status = node.diagnosis(lambda status: status["values"]["labels per second"] > 0, meanwhile=film)
    assert (status["level"], status["values"]["answers"]) == (0, "RGB alone")
    assert (pixels(labels.get(timeout=SECONDS)) == 7).all()
    status = node.diagnosis(lambda status: status["level"] == 1)
    assert status["message"].startswith(f"no labels: nothing on {node.namespace}/rgb/image: ")


@pytest.mark.parametrize("lag", [300, -1_700_000_000_000])
def test_clocks_that_differ_are_measured_and_mended(compose, lag):
    """Depth stamps 300 ms behind, and of a clock that began with the camera."""
    node = compose(sync_slop=0.02)
    labels = node.ready(node.listen("label"))
    sent = []

    def film(number=2):
        for i in range(number):
            at = 1_000_000 + 120 * len(sent)  # of which 300 is no multiple: no two stamps are near each other
            sent.append(node.send(seed=i, milliseconds=at, depth_milliseconds=at - lag if lag > 0 else at + lag))
            time.sleep(0.12)  # a camera's clock: an image that is lost shifts no stamp

    status = node.diagnosis(lambda status: "stamp_offset" in status["message"], meanwhile=film)
    offset = float(status["message"].rsplit(" ", 1)[1])
    assert offset == pytest.approx(abs(lag) / 1e3, abs=0.02)
    assert labels.empty()
    assert node.set(stamp_offset=offset, sync_slop=0.2) == []
    film()
    while labels.get(timeout=SECONDS).header != sent[-1].header:  # what was still under way may come first
        continue


def test_depth_that_comes_late_is_waited_for(compose):
    """Depth of the same stamps 1 s after color; then 4 s, which is told as a delay, without any offset."""
    node = compose(sync_slop=0.02)
    labels = node.ready(node.listen("label"))

    sent = []

    def film(delay):
        at = 100_000 + 100 * len(sent)
        sent.append(node.send(seed=1, milliseconds=at, depth_milliseconds=at - 100 * delay))
        time.sleep(0.05)  # a camera's clock: an image that is lost shifts no stamp

    for _ in range(40):
        film(delay=10)
    while labels.get(timeout=SECONDS).header != sent[-11].header:
        continue
    status = node.diagnosis(lambda status: "no RGB-D pair" in status["message"], meanwhile=lambda: film(delay=40))
    assert "depth arrives 4000 ms after color of the same stamp" in status["message"]
    assert "set stamp_offset" not in status["message"] and labels.empty()


@pytest.mark.parametrize("others", [0, 1])
def test_stamps_that_no_offset_mends_are_told(compose, graph, others):
    """Depth whose stamps stand still; and a second publisher of depth, with a clock of its own."""
    node = compose()
    node.ready(node.listen("label"))
    numbers = count(1_000_000, 100)
    second = [Publisher(graph.node, Image, f"{node.namespace}/depth/image") for _ in range(others)]
    for publisher in second:
        publisher.wait_for_listeners(1)

    def film():
        at = next(numbers)
        node.send(seed=1, milliseconds=at, depth_milliseconds=at - 3_600_000 if others else -START_MS)
        for publisher in second:
            publisher.publish(image(frame(1)[1], "16UC1", at + 3_600_000))

    told = "(tester, tester): let one alone send to it; its stamps go back" if others else "depth/image are all 0.000 s"
    status = node.diagnosis(lambda status: told in status["message"], meanwhile=film)
    assert status["level"] == 1 and "set stamp_offset" not in status["message"]


def test_time_that_is_set_back_loses_nothing(compose):
    """A bag that begins anew, with sim time that stands still."""
    node = compose(use_sim_time=True)
    labels = node.ready(node.listen("label"))
    for start in (50_000, 1000, -500_000):
        for i in range(3):
            message = node.send(seed=i, milliseconds=start + 100 * i)
            assert labels.get(timeout=SECONDS).header == message.header


def test_silence_is_explained_by_what_the_graph_says(compose, graph):
    strict = compose(reliability="reliable")
    status = strict.diagnosis(lambda status: "offered as best effort by tester" in status["message"])
    assert status["message"].count("requested as reliable") == 2 and status["level"] == 1

    other = Segmentation(graph, types=(CompressedImage, Image))
    line = other.wait_for_line("no RGB-D pair")
    assert "expected sensor_msgs/msg/Image, but tester publishes sensor_msgs/msg/CompressedImage" in line
    assert other.stop() == 0


def test_diagnostics_hold_rates_latencies_drops_and_the_engine(compose):
    node = compose(Reckoned(seconds=0.02))
    labels = node.ready(node.listen("label"))
    broken = image(frame(0)[0], "rgb8", 500)
    broken.data = broken.data[:10]
    node.rgb.publish(broken)
    node.depth.publish(image(frame(0)[1], "16UC1", 500))
    node.diagnosis(lambda status: status["values"].get("dropped: not usable") == 1)
    for i in range(10):
        message = node.send(seed=i, milliseconds=1000 + 100 * i)
        while labels.get(timeout=SECONDS).header != message.header:
            continue
    values = node.diagnosis(lambda status: True)["values"]
    assert values["engine"] == "nothing but arithmetic" and values["device"] == "cpu"
    assert values["infer ms, median"] >= 20 <= values["node ms, median"]
    assert 0 <= values["publish ms, p95"] < values["node ms, p95"]
    assert values["memory MB"] > 10 and "labels per second" in values


def test_frames_without_a_partner_are_counted_and_frames_that_fail_are_no_health(compose):
    """RGB at twice depth's rate; then nothing but broken images."""
    node = compose(sync_slop=0.02)
    labels = node.ready(node.listen("label"))
    for i in range(20):
        node.rgb.publish(image(frame(0)[0], "rgb8", 1000 + 100 * i - 50))
        message = node.send(seed=0, milliseconds=1000 + 100 * i)
        assert labels.get(timeout=SECONDS).header == message.header
    node.diagnosis(lambda status: status["values"].get("dropped: no depth of their time", 0) >= 20)

    broken, milliseconds = image(frame(0)[0], "rgb8", 0), count(10_000, 100)
    broken.encoding = "nonsense"

    def film():
        at = next(milliseconds)
        broken.header = image(frame(0)[0], "rgb8", at).header
        node.rgb.publish(broken)
        node.depth.publish(image(frame(0)[1], "16UC1", at))

    status = node.diagnosis(lambda status: "no labels" in status["message"], meanwhile=film)
    assert status["level"] == 1 and "'nonsense'" in status["message"]


def test_a_label_is_always_the_newest_pair_there_was(compose):
    """A network that is far slower than its camera: what waits is one pair, and each label is of the newest pair."""
    node = compose(Reckoned(seconds=0.2))
    node.ready(node.listen("label"))
    labels = node.listen("label", note=lambda label: (label.header, time.monotonic()))
    frames, rate = 60, 1 / 60
    begun, sent = time.monotonic(), {}
    for i in range(frames):
        message = node.send(seed=1, milliseconds=1_000_000 + 17 * i)
        sent[message.header.stamp.sec, message.header.stamp.nanosec] = time.monotonic()
        time.sleep(max(0, begun + (i + 1) * rate - time.monotonic()))  # a camera's clock
    ages, header = [], None
    while header != message.header:
        header, arrived = labels.get(timeout=SECONDS)
        ages.append(arrived - sent[header.stamp.sec, header.stamp.nanosec])
    infer = node.diagnosis(lambda status: status["values"]["labels per second"] >= 0)["values"]["infer ms, p95"] / 1e3
    assert len(ages) < frames / 2 and max(ages) < 2 * infer + rate + 2, ages  # a queue would let them grow to 12 s
    drops = node.diagnosis(lambda status: True)["values"]["dropped: a newer one came"]
    assert frames - 5 <= len(ages) + drops <= frames, "but for images that a late reader's queue of 5 had no room for"


def test_two_nodes_do_not_hear_each_other(compose):
    first, second = compose(), compose()
    labels = [node.ready(node.listen("label")) for node in (first, second)]
    message = first.send(seed=1, milliseconds=0)
    assert labels[0].get(timeout=SECONDS).header == message.header
    assert second.send(seed=2, milliseconds=100).header == labels[1].get(timeout=SECONDS).header
    assert all(queue.empty() for queue in labels)


def test_sigint_ends_a_node_that_is_still_loading(graph):
    node = Segmentation(graph, weights="synthetic13-cen")
    node.wait_for_line("loading synthetic13-cen")
    assert node.stop() == 0
    assert "Traceback" not in node.said()


def test_sigint_while_the_node_deactivates_ends_it_in_order(graph):
    """The worker is in the midst of a frame that takes long, and is waited for, once."""
    node = Segmentation(graph, weights="synthetic13-cen", device="cpu", input_size="[480,640]")
    labels = node.labels()
    for i in range(5):
        node.send(seed=i, milliseconds=1000 * i)
    labels.get(timeout=SECONDS)
    client = graph.node.create_client(ChangeState, f"{node.namespace}/cen_segmentation/change_state")
    assert client.wait_for_service(SECONDS)
    client.call_async(ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE)))
    assert node.stop() == 0
    assert "terminate called" not in node.said()
