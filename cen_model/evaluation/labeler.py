# SPDX-License-Identifier: Apache-2.0
"""What labels the frames of a dataset, be it a network or an engine.

Axes: H W pixels, K classes or groups of classes; a confusion matrix has a column more where labels may be void.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from cen_model.data.data_config import DataConfig
from cen_model.data.dataset import Dataset
from cen_model.data.loaders import evaluation_loader
from cen_model.evaluation.confusion import class_scores, count, labels_of
from cen_model.evaluation.frame_subset import Chosen
from cen_model.evaluation.inference_modes import InferenceConfig
from cen_model.label_groups import LabelGroups
from cen_model.nn.network import MultimodalNetwork
from cen_model.utils.ranks import Ranks

Watch = Callable[[int, np.ndarray, np.ndarray], None]
"""Is told the index of a frame, the ensemble's confusion matrix int64 (K, K) on it, and as int64 (2, 256) how many of
its labels are wrong and right by their confidence, as `cen_model.evaluation.calibration.count_levels` has them."""


class Labeler(Protocol):
    """Labels the frames of one dataset."""

    @property
    def runs_on(self) -> str:
        """In words."""

    def confusions(self, watch: Watch | None = None) -> dict[str, np.ndarray]:
        """Of this process's share of the frames: int64 (K, K), rows the truth, by output."""

    def label(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Of the ensemble: labels uint8 (H, W) of a frame, and their probabilities float32 (H, W)."""


class NetworkLabeler:
    """The network itself.

    Args:
        model: on its device.
        data: how frames are read; `size` is what they are resized to for the network, unless `inference` says so.
        drop: modalities that are missing from every frame.
        groups: of the network's classes, where labels are to be of groups, as the dataset's are.
    """

    runs_on = "the network as it was trained"

    def __init__(
        self,
        model: MultimodalNetwork,
        dataset: Dataset,
        data: DataConfig,
        inference: InferenceConfig,
        drop: tuple[str, ...] = (),
        groups: LabelGroups | None = None,
    ) -> None:
        self._model, self._dataset, self._drop, self._groups = model, dataset, drop, groups
        self._names = [name for name in model.config.modalities if name not in drop]
        self._inference = replace(inference, size=inference.size or data.size)
        # Labels stay as they are: it is the answer that is resized.
        self._data = replace(data, size=None)

    def confusions(self, watch: Watch | None = None) -> dict[str, np.ndarray]:
        data = self._data
        batches = evaluation_loader(self._dataset, data, self._names, data.evaluation_batch, Ranks.current())
        return count(self._model, batches, self._inference, self._drop, watch, self._groups)

    def label(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        one = Chosen(self._dataset, [index])
        batch = next(iter(evaluation_loader(one, replace(self._data, workers=0), self._names, 1)))
        scores = class_scores(self._model, batch, self._inference, self._drop, self._groups)["ensemble"][0]
        labels, probability = labels_of(scores, self._inference, self._groups)
        return labels.cpu().numpy(), probability.cpu().numpy()
