# SPDX-License-Identifier: Apache-2.0
"""Errors that mean that memory ran out, of a GPU or of the machine, in words."""

from __future__ import annotations

import re

# PyTorch, CUDA, TensorRT and the C library have an error each, of types that mean other things too.
_MARKS = ("out of memory", "allocate memory", "outofmemory")
_SENTENCES = 3
"""Of an error's text; the rest of PyTorch's is about settings of its allocator."""


def shortage(error: BaseException) -> str | None:
    """Return in one line that memory ran out, and what helps; None where an error means something else."""
    text = " ".join(str(error).split())
    if not isinstance(error, MemoryError) and not any(mark in text.lower() for mark in _MARKS):
        return None
    told = " ".join(re.split(r"(?<=\.) ", text)[:_SENTENCES]) or type(error).__name__
    return (
        f"not enough memory: {told.rstrip('.')}; end other programs that use it, or let the network work at a smaller "
        "input_size, in precision fp16, or on another device"
    )
