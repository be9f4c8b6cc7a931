# SPDX-License-Identifier: Apache-2.0
"""Errors, said to people."""

from __future__ import annotations

_WORDED = (ValueError, OSError, RuntimeError)  # whose texts are sentences


def words(error: Exception) -> str:
    """An error in one line; with its type where the text alone does not say what went wrong, as in "KeyError: 3"."""
    text, name = " ".join(str(error).split()), type(error).__name__
    if not text:
        return name
    return text if isinstance(error, _WORDED) else f"{name}: {text}"
