# SPDX-License-Identifier: Apache-2.0
"""The beginning and the end of a ROS process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import rclpy
from rclpy.executors import ExternalShutdownException


def shut_down() -> None:
    """`rclpy.try_shutdown`, also where the thread of rclpy's signal handler is at it in the same moment."""
    with suppress(RuntimeError):  # RCLError: already shut down
        rclpy.try_shutdown()


@contextmanager
def running(args: list[str] | None = None) -> Iterator[None]:
    """ROS for the length of a block, which ends quietly where the process is asked to stop (Ctrl-C, SIGTERM)."""
    rclpy.init(args=args)
    try:
        yield
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError:  # RCLError, where a signal has shut ROS down in the midst of a call
        if rclpy.ok():
            raise
    finally:
        shut_down()
