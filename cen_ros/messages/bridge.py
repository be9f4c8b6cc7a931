# SPDX-License-Identifier: Apache-2.0
"""cv_bridge for the encodings that are not ours, where it is installed and works.

One that was built against another NumPy may abort the process that imports it, so a child process tries it first.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

# cv_bridge loads its compiled half only when it converts, so that is what is tried.
_PROBE = """
from types import SimpleNamespace
from cv_bridge import CvBridge
pixel = SimpleNamespace(encoding="mono8", height=1, width=1, step=1, is_bigendian=0, data=b"0")
CvBridge().imgmsg_to_cv2(pixel, "rgb8")
"""
PROBE_SECONDS = 30.0


def convert(msg: Any, encoding: str) -> np.ndarray:
    """What cv_bridge makes of an Image message.

    Args:
        encoding: what the pixels are to become, such as "rgb8"; "passthrough" for what they are.

    Raises:
        ValueError: cv_bridge is not there or not usable, or does not know the encoding or how to convert it.
    """
    reason = why_not()
    if reason:
        raise ValueError(reason)
    try:
        return import_module("cv_bridge").CvBridge().imgmsg_to_cv2(msg, encoding)
    except Exception as error:  # its own is a TypeError, its compiled half and NumPy raise others
        raise ValueError(f"cv_bridge cannot convert it: {error}") from error


@cache
def why_not() -> str:
    """Why cv_bridge is not used; empty if it is. The child process that tries it is started by the first call only."""
    if find_spec("cv_bridge") is None:
        return "cv_bridge, which might convert it, is not installed"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _PROBE]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"cv_bridge is installed, but trying it failed: {error}"
    if done.returncode == 0:
        return ""
    said = done.stderr.strip().splitlines() or ["it said nothing"]
    how = f"with {signal.Signals(-done.returncode).name}" if done.returncode < 0 else f"with status {done.returncode}"
    return (
        f"cv_bridge is installed, but using it ended a trial process {how} ({said[-1]}); if it was built for another "
        f"NumPy than {np.__version__}, install one built for this, or let the camera publish one of these encodings"
    )
