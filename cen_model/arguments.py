# SPDX-License-Identifier: Apache-2.0
"""What command lines have in common."""

from __future__ import annotations

import argparse
import re


def height_width(text: str) -> tuple[int, int]:
    """(height, width) of "480x640"; a type for `add_argument`."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"expected height and width in pixels, such as 480x640, got {text!r}")
    return int(match[1]), int(match[2])
