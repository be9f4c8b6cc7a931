# SPDX-License-Identifier: Apache-2.0
"""The frames that a report shows, best, middling and worst, and what is drawn of them.

Axes: H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from cen_model.classes import VOID, LabelSet

EACH = 3
"""Frames of a kind."""
PANEL = 192
"""Pixels across, on a contact sheet."""
WRONG = np.array((230, 30, 30), np.uint8)


def choose(frames: Sequence[Mapping[str, Any]], key: str, lower_is_better: bool = False) -> dict[str, list[int]]:
    """Indices of the worst, the median and the best frames by the value `key`, none twice; few frames are the worst.

    Frames without the value are left out.
    """
    known = [frame for frame in frames if frame[key] is not None]
    order = [frame["index"] for frame in sorted(known, key=lambda frame: (frame[key], frame["index"]))]
    if lower_is_better:
        order.reverse()
    chosen = {"Worst frames": order[:EACH], "Best frames": order[EACH:][::-1][:EACH]}
    rest = [index for index in order if index not in (*chosen["Worst frames"], *chosen["Best frames"])]
    start = max(0, (len(rest) - EACH) // 2)
    chosen["Median frames"] = rest[start : start + EACH]
    return {kind: chosen[kind] for kind in ("Worst frames", "Median frames", "Best frames") if chosen[kind]}


def answers(
    frame: Mapping[str, np.ndarray], labels: np.ndarray, confidence: np.ndarray, classes: LabelSet
) -> dict[str, np.ndarray]:
    """Images uint8 (H, W, 3) of the truth, the labels, their confidence and their errors.

    Args:
        frame: with "label", and "rgb" where there is color.
        labels: uint8 (H, W).
        confidence: probability of the label, float (H, W).
    """
    truth = frame["label"]
    table = classes.table()
    gray = (255 * np.clip(confidence, 0, 1)).astype(np.uint8)
    return {
        "truth": table[truth],
        "labels": table[labels],
        "confidence": cv2.applyColorMap(gray, cv2.COLORMAP_VIRIDIS)[..., ::-1],
        "errors": _errors(frame, labels != truth),
    }


def _errors(frame: Mapping[str, np.ndarray], wrong: np.ndarray) -> np.ndarray:
    """Red where the label is wrong, over a faint picture; black where there is no truth."""
    rgb = frame.get("rgb")
    gray = np.full(wrong.shape, 128, np.uint8) if rgb is None else cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    image = np.repeat((64 + gray // 3)[..., None], 3, 2)
    image[wrong] = WRONG
    image[frame["label"] == VOID] = 0
    return image
