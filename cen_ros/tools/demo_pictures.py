# SPDX-License-Identifier: Apache-2.0
"""The demo's two pictures: a table of frames with a legend, and a small animation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from cen_model.classes import LabelSet
from cen_model.reporting.contact_sheet import contact_sheet
from cen_model.reporting.visualize import panels, save_animation
from cen_model.utils.files import write_atomically

KEPT = 60
"""Frames of the animation."""
ROWS = 5
"""Frames of the table."""
WIDTH = 208
"""Pixels of one panel of the animation."""
RATE = 6.0
"""Frames/s of the animation."""


def save_pictures(folder: Path, frames: Sequence[dict[str, np.ndarray]], classes: Sequence[str]) -> None:
    """
    Write frames.png and demo.gif into `folder`; nothing where there are no frames.

    Every frame has rgb and label, and all or none have depth and truth, as arrays that `Prediction` and `Frame`
    describe.
    """
    if not frames:
        return
    rows = [panels(frames[i], len(classes)) for i in np.linspace(0, len(frames) - 1, 2 * ROWS + 1).astype(int)[1::2]]
    table = contact_sheet(rows, LabelSet.of(tuple(classes)), width=None)
    write_atomically(folder / "frames.png", lambda file: table.save(file, "PNG", optimize=True))
    save_animation(folder / "demo.gif", [strip(panels(frame, len(classes))) for frame in frames], RATE)


def strip(images: dict[str, np.ndarray]) -> np.ndarray:
    """RGB, depth where it is there, and labels side by side, each `WIDTH` pixels wide: uint8 (h, n * WIDTH, 3)."""
    height, width = images["RGB"].shape[:2]
    size = (WIDTH, round(height * WIDTH / width))
    shown = [images[title] for title in ("RGB", "depth", "labels") if title in images]
    return np.hstack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in shown])
