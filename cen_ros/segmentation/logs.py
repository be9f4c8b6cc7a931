# SPDX-License-Identifier: Apache-2.0
"""What is said through Python's `logging`, said by the node: engines take minutes to build and say how far they are."""

from __future__ import annotations

import logging

from rclpy.impl.rcutils_logger import RcutilsLogger


class LogForwarder(logging.Handler):
    """Passes on, until it is closed, what a Python logger is told.

    Args:
        name: of the Python logger; from now on it says everything from level INFO.
        destination: a node's logger.
    """

    def __init__(self, name: str, destination: RcutilsLogger) -> None:
        super().__init__(logging.INFO)
        self._source, self._destination = logging.getLogger(name), destination
        self._source.setLevel(logging.INFO)
        self._source.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Say it at the same level."""
        # Two calls: rclpy knows a call by its place in the code, and raises where the level of one changes.
        if record.levelno >= logging.WARNING:
            self._destination.warning(record.getMessage())
        else:
            self._destination.info(record.getMessage())

    def close(self) -> None:
        """Pass nothing on any more."""
        self._source.removeHandler(self)
        super().close()
