# SPDX-License-Identifier: Apache-2.0
"""A dataset whose frames are made of another's, one by one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cen_model.classes import LabelSet
from cen_model.data.dataset import Dataset

Frame = dict[str, np.ndarray]


class Altered:
    """The frames of a dataset, each as `alter` makes it from its index and itself; a dataset itself.

    Args:
        labels: the classes of the altered labels; None where they are the dataset's own.
    """

    def __init__(self, dataset: Dataset, alter: Callable[[int, Frame], Frame], labels: LabelSet | None = None) -> None:
        self.modalities, self.labels = dataset.modalities, labels or dataset.labels
        self._dataset, self._alter = dataset, alter

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Frame:
        return self._alter(index, self._dataset[index])

    def describe(self, index: int) -> str:
        return self._dataset.describe(index)

    def intrinsics(self, index: int) -> np.ndarray | None:
        return self._dataset.intrinsics(index)
