# SPDX-License-Identifier: Apache-2.0
"""Stamps that no offset can mend."""

import random

import pytest

from cen_ros.segmentation.stamps import fault

MS = 1_000_000
NOW = 1_700_000_000_000 * MS


@pytest.mark.parametrize("seed", range(5))
def test_stamps_of_a_camera_have_no_fault(seed):
    """With jitter, now and then one out of order, and one lap of a bag."""
    random_ = random.Random(seed)
    stamps = [NOW + 33 * MS * i + random_.randrange(10 * MS) for i in range(50)]
    stamps[20], stamps[21] = stamps[21], stamps[20]
    assert fault(stamps) is None
    assert fault(stamps[30:] + stamps[:30]) is None
    assert fault([0, 0]) is None, "too few to tell"


def test_stamps_that_stand_still_are_told():
    assert fault([0] * 9).startswith("are all zero: ")
    assert fault([NOW] * 3).startswith("are all 1700000000.000 s: ")


def test_stamps_of_two_clocks_are_told():
    stamps = [stamp for i in range(20) for stamp in (NOW + 50 * MS * i, 50 * MS * i + 7)]
    assert fault(stamps).startswith("go back 20 times in 40 images, by up to 1.7e+09 s: ")
    close = [stamp for i in range(0, 3000, 33) for stamp in (NOW + i * MS, NOW + (i - 400) * MS)]
    assert "by up to 0.4 s" in fault(close)
