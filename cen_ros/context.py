# SPDX-License-Identifier: Apache-2.0
"""The beginning and the end of a ROS process."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.signals import uninstall_signal_handlers


class Interrupts:
    """SIGINT and SIGTERM. They shut ROS down, which ends spinning; only work declared to be interruptible ends at once.

    An exception anywhere else might strike in the midst of rclpy's C++ code, which ends a process with an error.
    """

    def __init__(self) -> None:
        self._arrived = self._interruptible = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Leave the process quietly (SystemExit) at a signal within this block, or at one that has come before."""
        if self._arrived:
            sys.exit(0)
        self._interruptible = True
        try:
            yield
        finally:
            self._interruptible = False

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._arrived = True
        # Ctrl-C under `ros2 launch` arrives twice: the second must not break the end. But it must end the work where
        # Python has discarded the first one's exception, as it does in __del__ and in callbacks of weak references.
        if self._interruptible and not _is_ending():
            # Not KeyboardInterrupt: after one in the midst of an import, Python may end with an error although it was
            # caught.
            sys.exit(0)


def _is_ending() -> bool:
    """Return whether a SystemExit is on its way out, and the code at work cleans up behind it."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, SystemExit):
        error = error.__context__
    return error is not None


@contextmanager
def running(args: list[str] | None = None) -> Iterator[Interrupts]:
    """ROS for the length of a block, which ends quietly where the process is asked to stop (Ctrl-C, SIGTERM)."""
    interrupts = Interrupts()  # before rclpy's own handlers, which call these
    rclpy.init(args=args)
    try:
        yield interrupts
    except ExternalShutdownException:
        pass
    except RuntimeError:  # RCLError, where a signal has shut ROS down in the midst of a call
        if rclpy.ok():
            raise
    finally:
        with suppress(RuntimeError):  # RCLError: the thread of rclpy's signal handler is at it in the same moment
            rclpy.try_shutdown()
        uninstall_signal_handlers()  # else that thread may outlive the interpreter, which aborts the process
