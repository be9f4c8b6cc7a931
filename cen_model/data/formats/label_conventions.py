# SPDX-License-Identifier: Apache-2.0
"""How label files number the classes, made explicit: the conventions that people trip over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cen_model.classes import VOID


@dataclass(frozen=True)
class Convention:
    """Values of label files: the classes from `first` on, and those that mean void."""

    first: int
    void: tuple[int, ...]

    def __str__(self) -> str:
        return f"classes from {self.first} on, {' and '.join(map(str, self.void)) or 'nothing'} = void"

    def table(self, classes: int) -> np.ndarray:
        """The id of every value: int64 (max + 1,), -1 where a value means nothing."""
        table = np.full(max(self.first + classes, *self.void, 0) + 1, -1, np.int64)
        table[self.first : self.first + classes] = np.arange(classes)
        table[list(self.void)] = VOID
        return table


ZERO_IS_VOID = Convention(1, (0,))
"""1 to K; of NYUDv2's authors, SA-Gate, CMX, DFormer, ESANet, SUN RGB-D."""
FROM_ZERO = Convention(0, (255,))
"""0 to K - 1, void 255; of CEN, TokenFusion, light-weight RefineNet, Cityscapes' train ids."""
CONVENTIONS = {"zero_is_void": ZERO_IS_VOID, "from_zero": FROM_ZERO}


def to_ids(values: np.ndarray, convention: Convention, classes: int, path: Path) -> np.ndarray:
    """Ids uint8 (H, W), 255 = void, of the values of a label file.

    Raises:
        ValueError: values that the convention does not know; the file and what they hint at are named.
    """
    table = convention.table(classes)
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"{path}: expected one integer per pixel, found {values.dtype} of shape {values.shape}")
    inside = (values >= 0) & (values < len(table))
    ids = table[np.where(inside, values, 0)]
    bad = ~inside | (ids < 0)
    if bad.any():
        found = sorted({int(value) for value in np.unique(values[bad])})
        raise ValueError(
            f"{path}: label values {_few(found)} are no classes: expected {convention} ({classes} classes). "
            f"{explain(np.unique(values).tolist(), classes)}"
        )
    return ids.astype(np.uint8)


def explain(values: Sequence[int], classes: int) -> str:
    """What the values of a label file, or of all files together, say about their convention; a sentence or two."""
    known = sorted(set(values))
    largest = max((value for value in known if value not in (0, 255)), default=0)
    if largest == classes + 1:
        return (
            f"{largest} is one more than the {classes} classes: void was given a number of its own, or one was added "
            f"twice. Map {largest} to void."
        )
    if largest > classes:
        return f"{largest} is far above {classes} classes: is this another label set, or a picture of colors?"
    if largest == classes and 0 in known:
        return f"They go from 0 to {largest}{' and 255' * (255 in known)}: {_either(classes, 255 in known)}."
    if largest == classes and 255 in known:
        return f"They go up to {largest}, and 255 occurs: classes from 1 on, {{first: 1, void: [255]}}."
    if largest == classes:
        return f"They go up to {largest}: classes from 1 on (0 does not occur), convention zero_is_void."
    if 255 in known:
        return (
            f"They go up to {largest}, and 255 occurs: classes from 0 on, 255 = void, convention from_zero. Should "
            f"{classes} occur in other files, it is {_either(classes, True)}."
        )
    return (
        f"They go up to {largest} of {classes} classes, and 255 does not occur: both conventions fit; name the right "
        "one, for a wrong one shifts every class by one."
    )


def _either(classes: int, with_255: bool) -> str:
    """The two readings of values from 0 to `classes`: which of the ends is void, the values do not tell."""
    from_one = "{first: 1, void: [0, 255]}" if with_255 else "zero_is_void"
    from_zero = f"{{first: 0, void: [{classes}{', 255' if with_255 else ''}]}}"
    return (
        f"either classes from 1 on and 0 = void, {from_one}, or classes from 0 on and {classes} = void, {from_zero}; "
        "the wrong one shifts every class by one: look at `cen data show`"
    )


def _few(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:6])) + (", …" if len(values) > 6 else "")
