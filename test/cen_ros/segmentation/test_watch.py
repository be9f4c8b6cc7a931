# SPDX-License-Identifier: Apache-2.0
"""What the node says when no labels come, and what it counts."""

from dataclasses import replace

import numpy as np
import pytest

from cen_ros.segmentation.measures import STAGES, Measures
from cen_ros.segmentation.watch import Match, Offer, Stream, explain, offset_warning

IMAGE = "sensor_msgs/msg/Image"
CAMERA = Offer("camera", IMAGE, reliable=False)


def stream(topic="/rgb", images=9, offers=(CAMERA,), reliable=False):
    return Stream(topic, IMAGE, reliable, offers, images)


@pytest.mark.parametrize(
    ("silent", "reason"),
    [
        (stream(images=0, offers=()), "nothing on /rgb: nobody publishes it"),
        (
            stream(images=0),
            "nothing on /rgb: camera offers it, but sends nothing, or its images are lost on the way "
            "(Fast DDS needs shared memory that holds them: see the README)",
        ),
        (
            stream(images=0, offers=(Offer("driver", "sensor_msgs/msg/CompressedImage", True),)),
            f"nothing on /rgb: expected {IMAGE}, but driver publishes sensor_msgs/msg/CompressedImage",
        ),
        (
            stream(images=0, reliable=True),
            "nothing on /rgb: it is offered as best effort by camera, and requested as reliable; "
            "set the parameter reliability to best_effort",
        ),
    ],
)
def test_the_silent_stream_is_named_with_the_reason(silent, reason):
    assert explain(silent, stream("/depth"), Match(50)) == f"no RGB-D pair: {reason}"
    assert explain(stream(), silent, Match(50)) == f"no RGB-D pair: {reason}"


def test_both_may_be_silent():
    said = explain(stream(images=0), stream("/depth", images=0, offers=()), Match(50))
    assert "nothing on /rgb: camera offers it" in said and said.endswith("nothing on /depth: nobody publishes it")


def test_stamps_that_miss_each_other_are_told_by_how_much():
    said = explain(stream(images=9), stream("/depth", images=8), Match(50, 0, 71, 83))
    assert "9 images on /rgb and 8 on /depth" in said
    assert "sync_slop (50.0 ms); the nearest were 71.0 ms apart" in said
    assert "depth's stamps lie about 83 ms behind RGB's: if the clocks of the streams differ" in said
    assert said.endswith("set stamp_offset to 0.083")
    assert "stamp_offset" not in explain(stream(), stream(), Match(50, 0, 71, 20)), "arrival explains nothing here"
    wrong = Match(50, offset_ms=300, nearest_ms=300, lag_ms=2)
    assert explain(stream(), stream(), wrong).endswith("set stamp_offset to 0.002"), "a wrong offset is told"


@pytest.mark.parametrize(
    ("late", "told"), [(2400, "depth arrives 2400 ms after color"), (-3100, "color arrives 3100 ms")]
)
def test_a_delay_is_no_reason_for_an_offset(late, told):
    measures = Measures()
    for i in range(100):
        measures.image(0, i * 33_000_000, i * 33_000_000)
        measures.image(1, i * 33_000_000, i * 33_000_000 + late * 1_000_000)
        measures.late(late * 1_000_000)
    summary = measures.summary()
    assert summary.lag_ms == pytest.approx(late)
    said = explain(stream(), stream("/depth"), Match(50, 0, 0, summary.lag_ms, summary.late_ms))
    assert told in said and "of the same stamp" in said and "set stamp_offset" not in said
    measures.pair(0)
    assert measures.summary().late_ms is None, "what was too late before a pair explains no silence after it"


@pytest.mark.parametrize(
    "clock", [lambda i: 0, lambda i: 7_000_000_000, lambda i: 40_000 * i, lambda i: i % 2 * 10**18 + i]
)
@pytest.mark.parametrize("broken", [0, 1])
def test_no_offset_is_advised_for_stamps_that_do_not_advance_with_time(clock, broken):
    """Zero, constant, in a wrong unit, of two clocks; of either stream."""
    measures = Measures()
    for i in range(100):
        at = 10**18 + i * 33_000_000
        for number in (0, 1):
            measures.image(number, clock(i) if number == broken else at, at + 5_000_000)
    summary = measures.summary()
    streams = [
        replace(stream(topic), fault=fault) for topic, fault in zip(("/rgb", "/depth"), summary.faults, strict=True)
    ]
    said = explain(*streams, Match(50, 0, 10**12, summary.lag_ms))
    assert "set stamp_offset" not in said and "unknown" not in said
    if summary.faults[broken]:
        assert (
            f"the stamps of {('/rgb', '/depth')[broken]} " in said
            and ("/rgb", "/depth")[1 - broken] + " are" not in said
        )
    assert summary.faults[1 - broken] is None


def test_several_publishers_of_one_topic_are_told():
    both = (CAMERA, Offer("bag_player", IMAGE, reliable=True), Offer("other", "sensor_msgs/msg/PointCloud2", True))
    said = explain(stream(), stream("/depth", offers=both), Match(50, lag_ms=900))
    assert "2 publishers send to /depth (bag_player, camera)" in said and "other" not in said
    assert "set stamp_offset" not in said and "unknown" not in said


def test_pairs_that_are_nearly_lost_are_told_the_offset():
    assert offset_warning(None, 50, 0) is None
    assert offset_warning(24, 50, 0) is None
    assert "lie 30.0 ms ahead of RGB's" in offset_warning(-30, 50, 10)
    assert offset_warning(-30, 50, 10).endswith("set stamp_offset to -0.0200")


def test_offset_and_lag_are_what_makes_the_stamps_equal():
    """Depth's clock is 80 ms slow, with jitter: either measure says how to mend it."""
    measures, random = Measures(), np.random.default_rng(0)
    for i in range(100):
        stamp = i * 33_000_000
        for number, clock in enumerate((0, 80_000_000)):
            measures.image(number, stamp - clock, stamp + int(random.integers(4e6, 6e6)))
        measures.pair(80_000_000 + int(random.integers(-1e6, 1e6)))
    summary = measures.summary()
    assert summary.lag_ms == pytest.approx(80, abs=1) and summary.difference_ms == pytest.approx(80, abs=0.5)
    assert summary.counts == {"rgb": 100, "depth": 100, "pairs": 100}
    assert measures.summary().counts["rgb"] == 0, "counted anew"
    measures.forget_stamps()
    assert measures.summary().lag_ms is None


def test_percentiles_are_those_of_the_stages():
    measures, random = Measures(), np.random.default_rng(0)
    stages = random.gamma(2, 10, (200, len(STAGES)))
    for row in stages:
        measures.label(tuple(row))
    measures.drop("a newer one came", 3)
    measures.fail("no such encoding")
    summary = measures.summary()
    assert summary.counts["not usable"] == 1 and summary.failure == "no such encoding"
    for name, column in zip(STAGES, stages.T, strict=True):
        ordered = sorted(column)
        assert ordered[98] <= summary.stages_ms[name][0] <= ordered[101]
        assert ordered[188] <= summary.stages_ms[name][1] <= ordered[191]
    assert summary.stages_ms["node"][0] == pytest.approx(np.median(stages[:, 1:].sum(1)))
    assert measures.total() == "200 frames labeled, 3 dropped: a newer one came, 1 dropped: not usable"
