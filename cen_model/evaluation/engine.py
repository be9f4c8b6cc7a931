# SPDX-License-Identifier: Apache-2.0
"""Confusion matrix of a deployed engine: of the labels that its users get.

Axes: K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from cen_model.data.dataset import Dataset
from cen_model.evaluation.missing import NEUTRAL_RGB
from cen_model.metrics import confusion_matrix
from cen_model.predictor import Predictor
from cen_model.processes import Ranks


def count_engine(
    predictor: Predictor,
    dataset: Dataset,
    drop: tuple[str, ...] = (),
    watch: Callable[[int, np.ndarray], None] | None = None,
) -> np.ndarray:
    """Pixels by true class and by the engine's label: int64 (K, K), of this process's share; void is left out.

    Args:
        drop: modalities that are missing from every frame.
        watch: is told the index of every frame and its confusion matrix.
    """
    ranks, classes = Ranks.current(), len(predictor.classes)
    total = np.zeros((classes, classes), np.int64)
    for index in range(ranks.rank, len(dataset), ranks.size):
        frame = dataset[index]
        matrix = confusion_matrix(frame["label"], label(predictor, frame, drop), classes)[:, :classes]
        total += matrix
        if watch:
            watch(index, matrix)
    return total


def label(predictor: Predictor, frame: Mapping[str, np.ndarray], drop: tuple[str, ...] = ()) -> np.ndarray:
    """Labels uint8 (H, W) of a frame."""
    size = frame["label"].shape
    rgb = np.broadcast_to(np.array(NEUTRAL_RGB, np.uint8), (*size, 3)) if _lacks("rgb", frame, drop) else frame["rgb"]
    depth = np.zeros(size, np.float32) if _lacks("depth", frame, drop) else frame["depth"]
    return predictor.predict(rgb, depth).labels


def _lacks(name: str, frame: Mapping[str, np.ndarray], drop: tuple[str, ...]) -> bool:
    return name in drop or name not in frame
