# SPDX-License-Identifier: Apache-2.0
"""Settings of the whole process, for programs to choose in their `main`; no object of this library touches them.

Both functions choose how the C library (glibc; every other is left as it is) treats memory that is freed. A process has
one such policy: of two calls, the last one holds from then on.
"""

from __future__ import annotations

import ctypes

# mallopt's parameters in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8
_GLIBCS_MMAP_MAX = 2**16
_LARGE = 2**24
"""Bytes of a block that is worth the time that mapping it takes."""


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees: for programs that run networks frame by frame.

    By default glibc returns large blocks to the kernel, which gives them back zeroed, page by page: for the activations
    of a network that is up to half of the time that is not spent in convolutions. Threads would have heaps of at most
    64 MiB with the same fate, so all share one.
    """
    _mallopt({_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _ARENA_MAX: 1})


def return_large_blocks() -> None:
    """Let this process return blocks of 16 MiB and more to the kernel once they are freed: for training in less memory.

    By default glibc comes to keep freed blocks of up to 32 MiB, in pieces that the next tensors often do not fit into.
    Smaller blocks stay with glibc. After `keep_freed_memory`, threads still share one heap.
    """
    # As glibc does where it adapts the two itself, it trims a heap from twice the size that is mapped.
    _mallopt({_MMAP_MAX: _GLIBCS_MMAP_MAX, _MMAP_THRESHOLD: _LARGE, _TRIM_THRESHOLD: 2 * _LARGE})


def _mallopt(values: dict[int, int]) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in values.items():
            mallopt(parameter, value)
