# SPDX-License-Identifier: Apache-2.0
"""Data with one part for validation and test: the part stands for both splits, and a warning says so."""

from __future__ import annotations

import logging
from collections.abc import Collection

from cen_model.data.data_config import Split

LOGGER = logging.getLogger(__name__)
_OTHER = {"validation": "test", "test": "validation"}


def part_of(split: Split, there: Collection[str], place: object, shared: bool = True) -> str:
    """Return the name of the part that gives a split: its own, or of validation and test the other one.

    Args:
        there: names of the parts that the data has.
        place: what the messages begin with, such as a file's path.
        shared: whether one part may stand for both validation and test.

    Raises:
        ValueError: the data has no part for the split.
    """
    if split in there:
        return split
    other = _OTHER.get(split)
    if other not in there:
        raise ValueError(f"{place}: has no {split} frames, only {', '.join(there) or 'none at all'}")
    if not shared:
        raise ValueError(
            f"{place}: has no {split} frames, only {', '.join(there)}; with data.include_validation=true, validation "
            "and test frames have to be different ones"
        )
    text = "%s: has no %s frames; its %s frames stand for them: scores on frames that weights were chosen by flatter"
    LOGGER.warning(text, place, split, other)
    return other
