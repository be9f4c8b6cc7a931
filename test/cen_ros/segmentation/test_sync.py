# SPDX-License-Identifier: Apache-2.0
"""StampSynchronizer against brute force over whole streams, and in the situations that defeat greedy pairing."""

import random
import statistics

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


@pytest.mark.parametrize(
    ("laps", "length", "step", "skew"), [(10, 600, 50, 0), (7, 330, 33, 4), (20, 1990, 100, -7), (5, 9000, 500, 0)]
)
def test_every_lap_of_a_short_loop_is_paired(laps, length, step, skew):
    synchronizer = StampSynchronizer(10 * MS)
    lap = [event for at in range(1000, 1000 + length, step) for event in ((0, at), (1, at + skew))]
    pairs = feed(synchronizer, lap * laps)
    whole = len(lap) // 2
    assert len(pairs) >= laps * whole - 3 * (laps - 1) - 1, "up to three of a lap tell that it began"
    assert synchronizer.resets == laps - 1
    assert all(second - first == skew for first, second in pairs)


def test_streams_that_are_set_back_one_after_the_other_pair_again():
    """Color goes back, and depth, which is late, a second later; with wild stamps in between."""
    before, after = range(60_000, 63_000, 50), range(59_000, 62_000, 50)
    arrivals = [(at, 0, at) for at in before] + [(at + 1000, 1, at) for at in before]
    arrivals += [(at + 4000, 0, at) for at in after] + [(at + 5000, 1, at) for at in after]
    events = [(stream, stamp) for _, stream, stamp in sorted(arrivals)]
    synchronizer = StampSynchronizer(10 * MS)
    pairs = feed(synchronizer, events)
    assert synchronizer.resets == 1
    late = set(after) - {stamp for stamp, _ in pairs[len(before) - 20 :]}
    assert len(late) <= 3 and all(first == second for first, second in pairs)


@pytest.mark.parametrize("late", [1, 2])
@pytest.mark.parametrize("delay", [60, 900, 5000])
def test_late_messages_of_one_stream_are_no_reset(late, delay):
    """Where one or two messages of depth are late, each costs no more than its own pair."""
    good = [(stream, 10_000 + 40 * i) for i in range(200) for stream in (0, 1)]
    events = good[:300] + [(1, 10_000 + 40 * 149 - delay - i) for i in range(late)] + good[300:]
    synchronizer = StampSynchronizer(10 * MS)
    assert feed(synchronizer, events) == [(stamp, stamp) for _, stamp in good[::2]]
    assert synchronizer.resets == 0


def test_one_wild_stamp_does_not_stop_the_streams():
    good = [(stream, stamp) for stamp in range(0, 990, 33) for stream in (0, 1)]
    for wild in (0, 10**7):
        got = feed(StampSynchronizer(10 * MS), [(s, t + 5000) for s, t in good[:30]] + [(0, wild)] + good[30:])
        assert len(got) >= 29
    assert feed(StampSynchronizer(10 * MS), [(0, 0), (1, 0)] * 3) == [(0, 0)] * 3  # a camera that does not stamp


def late_stream(late, delay, rate=60, frames=600):
    """Events of two streams with the same stamps in ns, of which one arrives `delay` ms after the other."""
    stamps = [round(i * 1e9 / rate) for i in range(frames)]
    arrivals = [(stamp + delay * MS * (stream == late), stream, stamp) for stream in (0, 1) for stamp in stamps]
    return [(stream, stamp) for _, stream, stamp in sorted(arrivals)]


def count(synchronizer, events, size=0):
    return sum(synchronizer.add(stream, stamp, stamp, size) is not None for stream, stamp in events)


@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize(("delay", "rate", "size"), [(700, 60, 900_000), (1900, 30, 0), (1500, 90, 400_000)])
def test_a_late_stream_meets_its_partners(late, delay, rate, size):
    delays = []
    synchronizer = StampSynchronizer(50 * MS, delays.append)
    assert count(synchronizer, late_stream(late, delay, rate), size) == 600
    assert delays == [] and synchronizer.unpaired == 0


@pytest.mark.parametrize(("late", "sign"), [(0, -1), (1, 1)])
@pytest.mark.parametrize(("delay", "rate", "size"), [(3000, 60, 0), (700, 60, 6_220_800), (5000, 15, 921_600)])
def test_a_stream_that_is_too_late_is_told_by_how_much(late, sign, delay, rate, size):
    """Too late for two seconds, and for 64 MB of full-HD images."""
    delays = []
    synchronizer = StampSynchronizer(5 * MS, delays.append)
    events = late_stream(late, delay, rate)
    last_on_time = max(i for i, (stream, _) in enumerate(events) if stream != late)
    assert count(synchronizer, events[: last_on_time + 1], size) == 0
    told = sign * statistics.median(delays) / MS
    assert told == pytest.approx(delay, abs=1001 / rate), "to one image"
    assert synchronizer.smallest_difference_ns == 0


@pytest.mark.parametrize(("late", "sign"), [(0, -1), (1, 1)])
@pytest.mark.parametrize("back", [30, 60])
def test_a_stream_that_becomes_late_is_told_at_once(late, sign, back):
    """Its stamps begin again with those that have left in pairs."""
    delays = []
    synchronizer = StampSynchronizer(5 * MS, delays.append)
    feed(synchronizer, [(stream, 50 * i) for i in range(100) for stream in (0, 1)])
    assert delays == []
    feed(synchronizer, [(stream, 50 * (i - back * (stream == late))) for i in range(100, 129) for stream in (0, 1)])
    assert 50 * (back - 1) <= sign * statistics.median(delays) / MS <= 50 * back
    assert synchronizer.resets == 0, "one stream alone has gone back"


def test_images_without_a_partner_are_not_late():
    """Depth of twice the rate, 700 ms after color, with a jitter that brings some of it near a color image."""
    delays, random_ = [], random.Random(0)
    color = [(33 * i, 0, 33 * i) for i in range(300)]
    depth = [(33 * i + 700 + more, 1, 33 * i + more) for i in range(300) for more in (0, random_.randrange(1, 33))]
    synchronizer = StampSynchronizer(10 * MS, delays.append)
    assert len(feed(synchronizer, [(stream, stamp) for _, stream, stamp in sorted(color + depth)])) == 300
    assert delays == []


def test_streams_of_other_clocks_are_not_taken_for_late():
    """Three seconds apart, and half a period: no two stamps are within the slop, whenever they come."""
    delays = []
    synchronizer = StampSynchronizer(5 * MS, delays.append)
    assert feed(synchronizer, [event for i in range(200) for event in ((0, 33 * i), (1, 33 * i - 3016))]) == []
    assert delays == []


def test_what_waits_is_bounded_by_time_bytes_and_number():
    stamps = range(0, 33_000, 33)
    for size, kept in ((0, 62), (10_000_000, 6), (10**9, 1)):
        synchronizer = StampSynchronizer(10 * MS)
        for stamp in stamps:
            synchronizer.add(0, stamp * MS, stamp, size)
        assert synchronizer.unpaired == len(stamps) - kept
        assert [stamp for stamp in stamps if feed(synchronizer, [(1, stamp)])] == list(stamps)[-kept:]
    synchronizer = StampSynchronizer(0)
    for stamp in range(5000):  # a clock that all but stands still
        synchronizer.add(0, stamp, stamp)
    assert synchronizer.unpaired == 4000
