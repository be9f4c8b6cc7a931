# SPDX-License-Identifier: Apache-2.0
"""Thousands of valid, damaged and absurd messages: each becomes arrays as promised, or a ValueError in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cen_ros.messages import bridge
from cen_ros.messages.images import label_to_array, rgbd_arrays
from helpers.damaged_messages import Messages

SEEDS, PAIRS = range(12), 1000
NAMES = ("/camera/color", "/camera/depth")
MEMORY = 500 * 2**20  # bytes: the largest image that is decoded, and its copy with another order of colors


def peak_memory():
    """Bytes that this process has had in memory at most, since the last call; None where Linux does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def check(rgb, depth, size):
    """Whether a pair becomes arrays; `size` is that of the color image, None where that is not known."""
    try:
        colors, depths = rgbd_arrays(rgb, depth, NAMES)
    except ValueError as error:
        assert str(error).startswith(NAMES) and ("expected" in str(error)), error
        return False
    assert colors.dtype == np.uint8 and colors.shape == (*depths.shape, 3) and colors.size
    assert depths.dtype in (np.uint16, np.float32) and depths.dtype.isnative
    assert size is None or depths.shape == size
    return True


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", SEEDS)
def test_every_message_becomes_arrays_or_a_complaint(seed, monkeypatch):
    monkeypatch.setattr(bridge, "find_spec", lambda name: None)  # an installed one would see what is not ours
    bridge.why_not.cache_clear()
    source, good = Messages(seed), 0
    peak_memory()
    before = peak_memory()
    for case in range(PAIRS):
        rgb, depth, size = source.pair()
        whole = case % 10 == 0
        if not whole:
            source.damage(source.pick((rgb, depth)))
            size = (rgb.height, rgb.width) if hasattr(rgb, "height") else None
        rgb, depth = source.as_delivered(rgb), source.as_delivered(depth)
        try:
            arrays = check(rgb, depth, size)
            check_labels(depth)
        except Exception as error:
            pytest.fail(f"pair {case} of seed {seed}: {error!r}\n{rgb}\n{depth}")
        assert arrays or not whole, f"pair {case} of seed {seed} was refused, though nothing is wrong with it"
        good += arrays
    assert 0.2 * PAIRS < good < 0.8 * PAIRS, "the damage is too mild, or so coarse that little of the code is reached"
    if before is not None:
        assert peak_memory() - before < MEMORY
    bridge.why_not.cache_clear()


def check_labels(msg):
    try:
        labels = label_to_array(msg)
    except ValueError as error:
        assert "expected" in str(error), error
    else:
        assert labels.dtype == np.uint8 and labels.ndim == 2
        assert not hasattr(msg, "height") or labels.shape == (msg.height, msg.width)
