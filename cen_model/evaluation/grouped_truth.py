# SPDX-License-Identifier: Apache-2.0
"""A dataset whose truth is of groups of classes."""

from __future__ import annotations

import numpy as np

from cen_model.classes import LabelSet
from cen_model.data.dataset import Dataset
from cen_model.label_groups import LabelGroups


class GroupedTruth:
    """The frames of a dataset, their truth by group; a dataset itself.

    Args:
        dataset: with labels of the classes that the groups are of.
    """

    def __init__(self, dataset: Dataset, groups: LabelGroups) -> None:
        self.modalities, self.labels = dataset.modalities, LabelSet.of(groups.names)
        self._dataset, self._groups = dataset, groups

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        frame = self._dataset[index]
        return {**frame, "label": self._groups.relabeled(frame["label"], f"frame {index}")}

    def describe(self, index: int) -> str:
        return self._dataset.describe(index)

    def intrinsics(self, index: int) -> np.ndarray | None:
        return self._dataset.intrinsics(index)
