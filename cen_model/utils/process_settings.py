# SPDX-License-Identifier: Apache-2.0
"""Settings of the whole process, for programs to choose in their `main`; no object of this library touches them.

`keep_freed_memory` and `return_large_blocks` choose how the C library (glibc; every other is left as it is) treats
memory that is freed. A process has one such policy: of two calls, the last one holds from then on.

The stopping signals are those of Ctrl-C, a service manager, and a terminal or connection that is closed.
"""

from __future__ import annotations

import ctypes
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# mallopt's parameters in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8
_GLIBCS_MMAP_MAX = 2**16
_LARGE = 2**24
"""Bytes of a block that is worth the time that mapping it takes."""


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees: for programs that run or train networks.

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


@contextmanager
def answered(answer: Callable) -> Iterator[None]:
    """Let a handler answer the stopping signals. SIGHUP stays ignored where it is ignored already, as by nohup."""
    numbers = [each for each in STOPPING if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN]
    previous = {number: signal.signal(number, answer) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def leave_to_parent(_: int = 0) -> None:
    """Ignore the stopping signals in this process, a helper of one that answers them and then ends its helpers.

    A signal to the whole process group would otherwise end the helpers first, and what the parent does with them fails.
    """
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)


def _mallopt(values: dict[int, int]) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in values.items():
            mallopt(parameter, value)
