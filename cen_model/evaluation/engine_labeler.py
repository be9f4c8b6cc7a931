# SPDX-License-Identifier: Apache-2.0
"""Labels of a deployed engine: those that its users get.

Axes: H W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cen_model.data.dataset import Dataset
from cen_model.evaluation.calibration import count_levels
from cen_model.evaluation.confusion import matrix_shape
from cen_model.evaluation.labeler import Watch
from cen_model.evaluation.metrics import confusion_matrix
from cen_model.evaluation.missing_modality import neutral
from cen_model.predictor import Prediction, Predictor
from cen_model.utils.ranks import Ranks


class EngineLabeler:
    """Labels the frames of a dataset with an engine's ensemble, or the branch that it was built for.

    Args:
        predictor: that gives confidence.
        drop: modalities that are missing from every frame.
    """

    def __init__(self, predictor: Predictor, dataset: Dataset, drop: tuple[str, ...] = ()) -> None:
        self._predictor, self._dataset, self._drop = predictor, dataset, drop

    @property
    def runs_on(self) -> str:
        """The engine, in words."""
        return str(self._predictor.target)

    def confusions(self, watch: Watch | None = None) -> dict[str, np.ndarray]:
        """Of this process's share of the frames: "ensemble", int64, as `matrix_shape` has it."""
        classes, columns = matrix_shape(self._predictor.classes, self._predictor.groups)
        total = np.zeros((classes, columns), np.int64)
        for index in Ranks.current().part(len(self._dataset)):
            frame = self._dataset[index]
            truth, answer = frame["label"], self._answer(frame)
            matrix = confusion_matrix(truth, answer.labels, classes, f"frame {index}")[:, :columns]
            total += matrix
            if watch:
                watch(index, matrix, count_levels(truth, answer.labels, answer.confidence))
        return {"ensemble": total}

    def label(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Labels uint8 (H, W) of a frame, and their probabilities float32 (H, W)."""
        answer = self._answer(self._dataset[index])
        return answer.labels, answer.confidence.astype(np.float32) / 255

    def _answer(self, frame: Mapping[str, np.ndarray]) -> Prediction:
        size = frame["label"].shape
        given = {name: frame[name] for name in frame if name not in self._drop}
        rgb = given.get("rgb", np.broadcast_to(np.array(neutral("rgb"), np.uint8), (*size, 3)))
        return self._predictor.predict(rgb, given.get("depth"))
