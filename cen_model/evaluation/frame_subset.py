# SPDX-License-Identifier: Apache-2.0
"""Some frames of a dataset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cen_model.data.dataset import Dataset


class Chosen:
    """The frames `indices` of a dataset, in that order; a dataset itself."""

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.modalities, self.labels = dataset.modalities, dataset.labels
        self._dataset, self._indices = dataset, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return self._dataset[self._indices[index]]

    def describe(self, index: int) -> str:
        return self._dataset.describe(self._indices[index])

    def intrinsics(self, index: int) -> np.ndarray | None:
        return self._dataset.intrinsics(self._indices[index])
