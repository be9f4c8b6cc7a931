# SPDX-License-Identifier: Apache-2.0
"""Errors, said to people."""

from __future__ import annotations

from cen_model.deploy.memory_shortage import shortage

_WORDED = (ValueError, OSError, RuntimeError)  # whose texts are sentences


def words(error: Exception) -> str:
    """Return an error in one line, with its type where the text alone does not say what went wrong: "KeyError: 3".

    Where memory ran out, the line says so, and what helps.
    """
    if memory := shortage(error):
        return memory
    text, name = " ".join(str(error).split()), type(error).__name__
    if not text:
        return name
    return text if isinstance(error, _WORDED) else f"{name}: {text}"
