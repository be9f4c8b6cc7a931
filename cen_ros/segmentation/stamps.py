# SPDX-License-Identifier: Apache-2.0
"""Stamps that no offset can mend. Knows no ROS."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

FEW = 3
"""Stamps that are needed to tell."""
OUT_OF_ORDER = 0.1
"""Share of stamps that may be older than the one before, as where a network changes the order of messages."""


def fault(stamps: Sequence[int]) -> str | None:
    """Say what is wrong with the stamps of one stream; None if nothing is.

    Args:
        stamps: in ns, in the order in which the images came.
    """
    if len(stamps) < FEW:
        return None
    if max(stamps) == min(stamps):
        value = f"{stamps[0] / 1e9:.3f} s" if stamps[0] else "zero"
        return f"are all {value}: let the driver stamp each image with the time at which it was taken"
    back = [before - after for before, after in pairwise(stamps) if after < before]
    if len(back) <= OUT_OF_ORDER * len(stamps):
        return None
    return (
        f"go back {len(back)} times in {len(stamps)} images, by up to {max(back) / 1e9:.2g} s: "
        "let one publisher alone send to this topic, with one clock"
    )
