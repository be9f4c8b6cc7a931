# SPDX-License-Identifier: Apache-2.0
"""The evaluation of a segmentation network or engine: its sections of the results, its pictures.

Axes: H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cen_model.data.dataset import Dataset
from cen_model.evaluation import examples, results
from cen_model.evaluation.calibration import LEVELS, calibration_error
from cen_model.evaluation.dataset_scores import summed
from cen_model.evaluation.labeler import Labeler
from cen_model.reporting.contact_sheet import frame_images
from cen_model.utils.ranks import Ranks


class Segmented:
    """See `cen_model.evaluation.dataset_evaluation.Task`."""

    by = "iou"
    lower_is_better = False

    def __init__(self, labeler: Labeler, dataset: Dataset, shown: tuple[str, ...]) -> None:
        self._labeler, self._dataset, self._shown = labeler, dataset, shown

    @property
    def runs_on(self) -> str:
        """To be read afterwards: a backend that fails at the first frame is replaced by the next one."""
        return self._labeler.runs_on

    def sections(self, watch: Callable[[int], None]) -> dict[str, Any]:
        frames: list[tuple[int, dict[str, Any]]] = []
        levels = [np.zeros((2, LEVELS), np.int64)]

        def note(index: int, confusion: np.ndarray, of_frame: np.ndarray) -> None:
            figures = results.frame(confusion)
            frames.append((index, {"index": index, "files": self._dataset.describe(index), **figures}))
            levels.append(of_frame)
            watch(index)

        ranks = Ranks.current()
        confusion = summed(self._labeler.confusions(note), ranks)
        error = calibration_error(sum(ranks.each(sum(levels))))
        return {
            **results.segmentation(confusion, self._dataset.labels.names),
            "calibration_error": results.defined(error),
            "frames": ranks.gather(frames),
        }

    def draw(self, index: int) -> dict[str, np.ndarray]:
        frame = self._dataset[index]
        labels, confidence = self._labeler.label(index)
        answers = examples.answers(frame, labels, confidence, self._dataset.labels)
        return {**frame_images(frame, self._shown), **answers}
