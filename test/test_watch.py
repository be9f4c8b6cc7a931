# SPDX-License-Identifier: Apache-2.0
"""What the node says when no labels come."""

from cen_ros.watch import PairWatch

MS = 1_000_000


def watch(rgb, depth, pairs=0):
    watch_ = PairWatch(("/rgb", "/depth"), slop_ns=50 * MS)
    for stream, number in enumerate((rgb, depth)):
        for _ in range(number):
            watch_.image(stream)
    for _ in range(pairs):
        watch_.pair()
    return watch_


def test_one_pair_is_enough_until_the_next_report():
    watched = watch(3, 3, pairs=1)
    assert watched.report((1, 1), None) is None
    silence = "no RGB-D pair: nothing on /rgb (1 publishers) and nothing on /depth (1 publishers)"
    assert watched.report((1, 1), None) == silence


def test_the_silent_stream_is_named():
    assert watch(0, 9).report((0, 1), None) == "no RGB-D pair: nothing on /rgb (0 publishers)"
    assert watch(9, 0).report((1, 2), None) == "no RGB-D pair: nothing on /depth (2 publishers)"


def test_stamps_that_miss_each_other_are_told_by_how_much():
    report = watch(9, 8).report((1, 1), 71 * MS)
    assert "9 images on /rgb and 8 on /depth" in report
    assert "sync_slop (50.0 ms); the nearest were 71.0 ms apart" in report
