# SPDX-License-Identifier: Apache-2.0
"""True labels from a folder of PNG files that are named by the stamp of their color image."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from cen_model.classes import VOID

SECONDS = re.compile(r"(\d+)\.(\d{1,9})")
NANOSECONDS = re.compile(r"\d+")


class TruthFolder:
    """The PNG files of a folder: class ids, gray or palette, 255 = unlabeled.

    A name is the stamp in seconds with up to nine decimals ("1305031102.175304000.png") or in nanoseconds
    ("1305031102175304000.png").

    Raises:
        ValueError: no such folder, no PNG files in it, or one whose name is not a stamp.
    """

    def __init__(self, path: Path):
        files = {_stamp_ns(file): file for file in sorted(path.glob("*.png"))}
        if not files:
            raise ValueError(f"{path}: expected a folder of PNG files named by stamp (1305031102.175304000.png)")
        self.path = path
        self._stamps = sorted(files)
        self._files = files

    def between(self, first_ns: int, last_ns: int) -> list[int]:
        """The stamps within [first_ns, last_ns], ascending."""
        return self._stamps[bisect_left(self._stamps, first_ns) : bisect_right(self._stamps, last_ns)]

    def read(self, stamp_ns: int) -> np.ndarray:
        """Labels uint8 (H, W); ids above 254 become 255. Raises ValueError where the file holds no labels."""
        file = self._files[stamp_ns]
        try:
            with Image.open(file) as image:
                labels = np.asarray(image)  # of a palette image its indices, which OpenCV would turn into colors
        except (OSError, UnidentifiedImageError, SyntaxError) as error:
            raise ValueError(f"{file}: not a PNG file that can be read: {error}") from error
        if labels.ndim != 2 or labels.dtype.kind not in "ui":
            raise ValueError(f"{file}: expected class ids in one channel, got an image of shape {labels.shape}")
        return np.minimum(labels, VOID).astype(np.uint8)


def _stamp_ns(file: Path) -> int:
    if match := SECONDS.fullmatch(file.stem):
        return int(match[1]) * 10**9 + int(match[2].ljust(9, "0"))
    if NANOSECONDS.fullmatch(file.stem):
        return int(file.stem)
    raise ValueError(f"{file}: expected a name that is a stamp, seconds.nanoseconds or nanoseconds, got {file.stem!r}")
