# SPDX-License-Identifier: Apache-2.0
"""Looking things up by name, with help for those who mistype."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

T = TypeVar("T")


def look_up(kind: str, name: str, registry: Mapping[str, T]) -> T:
    """The entry of that name. Raises ValueError that lists the nearest ones."""
    if name not in registry:
        raise unknown(kind, name, registry)
    return registry[name]


def unknown(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that is not among the known ones: it lists the nearest, or all where none is near."""
    known = list(known)
    near = get_close_matches(name, known, n=4, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(known)}"
    return ValueError(f"{kind} {name!r} is unknown; {hint}")
