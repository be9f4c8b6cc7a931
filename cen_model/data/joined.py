# SPDX-License-Identifier: Apache-2.0
"""Several datasets as one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from cen_model.data.dataset import Dataset


class Joined:
    """The frames of one dataset behind those of the other; all have the same modalities and classes."""

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self.modalities, self.labels = datasets[0].modalities, datasets[-1].labels
        self._datasets = datasets
        self._ends = list(accumulate(map(len, datasets)))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        dataset, place = self._find(index)
        return dataset[place]

    def describe(self, index: int) -> str:
        dataset, place = self._find(index)
        return dataset.describe(place)

    def intrinsics(self, index: int) -> np.ndarray | None:
        dataset, place = self._find(index)
        return dataset.intrinsics(place)

    def _find(self, index: int) -> tuple[Dataset, int]:
        """Return the dataset that has a frame, and the frame's place in it. Raises IndexError behind the last one."""
        for dataset, end in zip(self._datasets, self._ends, strict=True):
            if index < end:
                return dataset, index - end + len(dataset)
        raise IndexError(f"frame {index} of {len(self)}")
