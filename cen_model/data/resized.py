# SPDX-License-Identifier: Apache-2.0
"""A dataset at another size."""

from __future__ import annotations

import cv2
import numpy as np

from cen_model.data.dataset import Dataset
from cen_model.data.transforms import is_indivisible


class Resized:
    """The frames of a dataset at `size` (height, width): images averaged, depth, segments and labels nearest."""

    def __init__(self, dataset: Dataset, size: tuple[int, int]) -> None:
        self.dataset, self.size = dataset, size
        self.modalities, self.labels = dataset.modalities, dataset.labels

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {name: self._resized(name, image) for name, image in self.dataset[index].items()}

    def _resized(self, name: str, image: np.ndarray) -> np.ndarray:
        way = cv2.INTER_NEAREST if is_indivisible(name) else cv2.INTER_AREA
        return cv2.resize(image, self.size[::-1], interpolation=way)

    def describe(self, index: int) -> str:
        return self.dataset.describe(index)

    def intrinsics(self, index: int) -> np.ndarray | None:
        camera = self.dataset.intrinsics(index)
        if camera is None:
            return None
        height, width = next(iter(self.dataset[index].values())).shape[:2]
        return camera * [[self.size[1] / width], [self.size[0] / height], [1]]
