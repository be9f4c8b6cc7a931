# SPDX-License-Identifier: Apache-2.0
"""The validation frames of NYUDv2: some of its 795 training frames, the same ones however a copy names its files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from cen_model.data.data_config import Split

Frame = TypeVar("Frame")

BLOCKS = (
    *(range(48, 56), range(213, 220), range(286, 296), range(436, 441), range(572, 579)),
    *(range(735, 743), range(936, 945), range(996, 1001), range(1236, 1247), range(1434, 1441)),
)
"""Numbers of the 77 validation frames among all 1449, counted from 1.

Neighbors often show one scene. Before and behind each block lie test frames, and no scene has frames in both official
parts: so no block cuts a scene. One block comes from each tenth of the training frames; together they have every class,
in shares like those of all training frames.
"""
TRAINING_FRAMES = 795
_LOWEST = 3
"""The lowest number of a training frame; in copies that count from 0 it is one less."""


def keep(frames: Sequence[Frame], names: Sequence[str], split: Split) -> list[Frame]:
    """Return the frames that belong to a split.

    Args:
        frames: the official test frames where the split is test, else the official training frames.
        names: the name of each frame; the last number in it is the frame's number in the data set.

    Raises:
        ValueError: the names hold no such numbers, or no frame is left.
    """
    if split == "test":
        return list(frames)
    validation = {number for block in BLOCKS for number in block}
    numbered = zip(frames, _numbers(names), strict=True)
    kept = [frame for frame, number in numbered if (number in validation) == (split == "validation")]
    if not kept:
        blocks = ", ".join(f"{block[0]} to {block[-1]}" for block in BLOCKS)
        raise ValueError(f"none of {len(names)} NYUDv2 frames is for {split}; validation frames are {blocks}")
    return kept


def is_official_part(names: Sequence[str]) -> bool:
    """Return whether frames of these names are the 795 official training frames, validation frames among them."""
    try:
        numbers = set(_numbers(names))
    except ValueError:
        return False
    return len(numbers) == TRAINING_FRAMES and all(numbers.issuperset(block) for block in BLOCKS)


def _numbers(names: Sequence[str]) -> list[int]:
    """Return the frames' numbers, counted from 1."""
    found = [re.findall(r"\d+", name) for name in names]
    numbers = [int(each[-1]) for each in found if each]
    lowest = min(numbers, default=None)
    if len(numbers) < len(names) or lowest not in (_LOWEST, _LOWEST - 1):
        raise ValueError(
            f"NYUDv2's validation frames are found by the numbers of the training frames, counted from 1 (3, 4, …) or "
            f"from 0 (2, 3, …); got {', '.join(names[:3])}, …. Keep the data set's numbers as file names"
        )
    return [number + _LOWEST - lowest for number in numbers]
