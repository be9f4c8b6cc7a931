# SPDX-License-Identifier: Apache-2.0
"""Checks of what users write, names and numbers, with messages that help those who mistype."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import inf
from typing import Any, TypeVar

T = TypeVar("T")


def look_up(kind: str, name: str, registry: Mapping[str, T]) -> T:
    """Return the entry of that name. Raises ValueError that lists the nearest ones."""
    if name not in registry:
        raise unknown(kind, name, registry)
    return registry[name]


def unknown(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """Return the error for a name that is not among the known ones: it lists the nearest, or all if none is near."""
    known = list(known)
    near = get_close_matches(name, known, n=4, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(known)}"
    return ValueError(f"{kind} {name!r} is unknown; {hint}")


@dataclass(frozen=True)
class Range:
    """Numbers, in words and as a test; neither NaN nor infinity is in any."""

    words: str
    holds: Callable[[float], bool]


AT_LEAST_0 = Range("at least 0", lambda number: 0 <= number < inf)
AT_LEAST_1 = Range("at least 1", lambda number: 1 <= number < inf)
POSITIVE = Range("more than 0", lambda number: 0 < number < inf)
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
