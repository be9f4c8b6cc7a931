# SPDX-License-Identifier: Apache-2.0
"""StampSynchronizer against brute force over whole streams, and in the situations that defeat greedy pairing."""

import random

import pytest

from cen_ros.segmentation.sync import StampSynchronizer

MS = 1_000_000


def feed(synchronizer, events):
    """Pairs of stamps that come out when (stream, stamp in ms) events go in; each message is its own stamp."""
    pairs = [synchronizer.add(stream, stamp * MS, stamp) for stream, stamp in events]
    return [pair for pair in pairs if pair is not None]


def mutually_nearest(first, second, slop):
    """The slow, obvious reference: with all stamps known, every two that are each other's nearest."""
    pairs = []
    for a in first:
        b = min(second, key=lambda stamp: abs(stamp - a))
        if abs(a - b) <= slop and min(first, key=lambda stamp: abs(stamp - b)) == a:
            pairs.append((a, b))
    return pairs


@pytest.mark.parametrize("seed", range(30))
def test_equals_brute_force_on_streams_with_jitter_offset_drops_and_delay(seed):
    random_ = random.Random(seed)
    offset, delay = random_.uniform(-8, 8), random_.uniform(0, 90)
    streams = []
    for shift in (0, offset):
        stamps = [33.3 * i + shift + random_.uniform(-2, 2) for i in range(200)]
        streams.append([stamp for i, stamp in enumerate(stamps) if i == 0 or random_.random() > 0.15])
    arrivals = [(stamp, 0, stamp) for stamp in streams[0]]
    arrivals += [(stamp + delay, 1, stamp) for stamp in streams[1]]  # depth is late, by up to nearly three frames
    events = [(stream, stamp) for _, stream, stamp in sorted(arrivals)]
    aligned = mutually_nearest(*streams, slop=12)
    assert len(aligned) > 100
    assert feed(StampSynchronizer(12 * MS), events) == aligned

    # A slop longer than a frame tempts into pairs across frames: those must not cost the aligned ones, save one at
    # the start, where the streams' intervals are not known yet.
    wide = set(feed(StampSynchronizer(50 * MS), events))
    assert len(set(aligned) - wide) <= 1


def test_a_dropped_frame_costs_its_own_pair_only():
    """30 Hz, slop 50 ms, the RGB frame at 99 ms is lost: greedy pairing would be off by one from there on."""
    rgb, depth = [0, 33, 66, 132, 165, 198, 231], [0, 33, 66, 99, 132, 165, 198, 231]
    for delay in (0.0, 1.0, -1.0, 40.0):
        arrivals = sorted([(stamp, 0, stamp) for stamp in rgb] + [(stamp + delay, 1, stamp) for stamp in depth])
        got = feed(StampSynchronizer(50 * MS), [(stream, stamp) for _, stream, stamp in arrivals])
        assert got == [(stamp, stamp) for stamp in rgb]


def test_equal_stamps_and_a_single_pair_leave_at_once():
    assert feed(StampSynchronizer(0), [(0, 5), (1, 5), (1, 9), (0, 9)]) == [(5, 5), (9, 9)]
    assert feed(StampSynchronizer(50 * MS), [(1, 100), (0, 90)]) == [(90, 100)]


def test_out_of_order_stamps_still_find_their_partner_while_it_waits():
    events = [(0, 0), (1, 0), (0, 66), (0, 33), (1, 33), (1, 66)]
    assert feed(StampSynchronizer(10 * MS), events) == [(0, 0), (33, 33), (66, 66)]


def test_stamps_never_decrease_and_old_messages_are_ignored():
    events = [(0, 0), (1, 0), (0, 33), (0, 66), (1, 66), (1, 33), (0, 99), (1, 99)]
    assert feed(StampSynchronizer(10 * MS), events) == [(0, 0), (66, 66), (99, 99)]


def test_nothing_within_slop_never_pairs_and_reports_the_smallest_difference():
    synchronizer = StampSynchronizer(10 * MS)
    assert feed(synchronizer, [(0, 0), (1, 40), (0, 100), (1, 125), (0, 200)]) == []
    assert synchronizer.smallest_difference_ns == 25 * MS
    assert feed(synchronizer, [(1, 200)]) == [(200, 200)]
    assert synchronizer.smallest_difference_ns is None


def test_time_set_back_starts_afresh():
    late = [(stream, 60_000 + stamp) for stamp in (0, 33, 66) for stream in (0, 1)]
    early = [(stream, stamp) for stamp in (0, 33, 66) for stream in (0, 1)]
    got = feed(StampSynchronizer(10 * MS), late + early)
    assert got == [(60_000, 60_000), (60_033, 60_033), (60_066, 60_066), (0, 0), (33, 33), (66, 66)]


def test_one_wild_stamp_does_not_stop_the_streams():
    good = [(stream, stamp) for stamp in range(0, 990, 33) for stream in (0, 1)]
    for wild in (0, 10**7):
        got = feed(StampSynchronizer(10 * MS), [(s, t + 5000) for s, t in good[:30]] + [(0, wild)] + good[30:])
        assert len(got) >= 29
    assert feed(StampSynchronizer(10 * MS), [(0, 0), (1, 0)] * 3) == [(0, 0)] * 3  # a camera that does not stamp


def test_a_silent_stream_does_not_fill_the_memory():
    synchronizer = StampSynchronizer(10 * MS, capacity=7)
    feed(synchronizer, [(0, stamp) for stamp in range(0, 33_000, 33)])
    kept = [stamp for stamp in range(0, 33_000, 33) if feed(synchronizer, [(1, stamp)])]
    assert kept == list(range(0, 33_000, 33))[-7:]
