# SPDX-License-Identifier: Apache-2.0
"""Signals at bad moments: none is lost, and none breaks the end that an earlier one began."""

from __future__ import annotations

import signal
import sys
import weakref

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cen_ros[ros]'")
from cen_ros.context import Interrupts


@pytest.fixture
def interrupts():
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield Interrupts()
    for number, handler in previous.items():
        signal.signal(number, handler)


@pytest.fixture
def discarded(monkeypatch):
    """The exceptions that Python throws away, where it would print them."""
    errors = []
    monkeypatch.setattr(sys, "unraisablehook", lambda problem: errors.append(problem.exc_type))
    return errors


class Thing:
    """Something whose end can be noticed."""


class Ending(Thing):
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)


def end_in_del():
    Ending()


def end_in_a_weak_references_callback():
    thing = Thing()
    reference = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGTERM))
    del thing
    assert reference() is None


@pytest.mark.parametrize("end", [end_in_del, end_in_a_weak_references_callback])
def test_a_signal_where_python_discards_exceptions_leaves_the_next_ones_in_force(interrupts, discarded, end):
    with pytest.raises(SystemExit) as ending, interrupts.interruptible():
        end()
        end()
        assert discarded == [SystemExit, SystemExit]
        signal.raise_signal(signal.SIGINT)
    assert ending.value.code == 0


def test_a_second_signal_does_not_break_what_the_first_one_ends(interrupts):
    """`ros2 launch` sends one after the other; what a build cleans up is still cleaned up, whatever fails in it."""
    cleaned = []

    def clean():
        try:
            raise FileNotFoundError
        except FileNotFoundError:
            signal.raise_signal(signal.SIGINT)
        cleaned.append("all")

    with pytest.raises(SystemExit), interrupts.interruptible():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGTERM)
            clean()
    assert cleaned == ["all"]


def test_outside_of_the_block_signals_are_kept_for_the_next_one(interrupts):
    with interrupts.interruptible():
        pass
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(SystemExit), interrupts.interruptible():
        raise AssertionError("it is not entered any more")
