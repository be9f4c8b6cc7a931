# SPDX-License-Identifier: Apache-2.0
"""Ranges of a configuration's numbers, with a message for those outside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Range:
    """Numbers, in words and as a test."""

    words: str
    holds: Callable[[float], bool]


AT_LEAST_0 = Range("at least 0", lambda number: number >= 0)
AT_LEAST_1 = Range("at least 1", lambda number: number >= 1)
POSITIVE = Range("more than 0", lambda number: number > 0)
SHARE = Range("0 to 1", lambda number: 0 <= number <= 1)
DECAY = Range("at least 0 and less than 1", lambda number: 0 <= number < 1)


def check(config: object, section: str, expected: Range, *names: str) -> None:
    """Raise ValueError that names the first of a configuration's numbers, or tuples of them, which is out of a range.

    Args:
        section: what stands before the names in a configuration file, such as "data.".
        names: of numbers; one that is None is not looked at.
    """
    for name in names:
        value = getattr(config, name)
        if not all(expected.holds(number) for number in _numbers(value)):
            raise ValueError(f"{section}{name}: expected {expected.words}, got {value}")


def _numbers(value: Any) -> tuple[float, ...]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)
