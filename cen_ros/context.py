# SPDX-License-Identifier: Apache-2.0
"""The end of a ROS process."""

from __future__ import annotations

from contextlib import suppress

import rclpy


def shut_down() -> None:
    """`rclpy.try_shutdown`, also where the thread of rclpy's signal handler is at it in the same moment."""
    with suppress(RuntimeError):  # RCLError: already shut down
        rclpy.try_shutdown()
