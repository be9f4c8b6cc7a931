# SPDX-License-Identifier: Apache-2.0
"""The evaluation of a translation network: its sections of the results, its pictures.

Axes: H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from torch import nn

from cen_model.data.dataset import Dataset
from cen_model.evaluation.image_distances import REAL, Generator, measure_images
from cen_model.evaluation.results import defined
from cen_model.modalities import image_to_8bit
from cen_model.utils.ranks import Ranks


class Translated:
    """See `cen_model.evaluation.dataset_evaluation.Task`."""

    by = "mae"
    lower_is_better = True
    runs_on = "the network as it was trained"

    def __init__(self, generator: Generator, dataset: Dataset, inception: nn.Module | None) -> None:
        self._generator, self._dataset, self._inception = generator, dataset, inception

    def sections(self, watch: Callable[[int], None]) -> dict[str, Any]:
        frames: list[tuple[int, dict[str, Any]]] = []

        def note(index: int, mae: float) -> None:
            frames.append((index, {"index": index, "files": self._dataset.describe(index), "mae": defined(mae)}))
            watch(index)

        scores = measure_images(self._generator, self._inception, note)
        by_output = {
            name: {key: None if value is None else defined(value) for key, value in asdict(each).items()}
            for name, each in scores.items()
        }
        return {"scores": by_output, "frames": Ranks.current().gather(frames)}

    def draw(self, index: int) -> dict[str, np.ndarray]:
        images = self._generator.images_of(index)
        images["error"] = (images["by ensemble"] - images[REAL]).abs() - 1
        arrays = {name: image_to_8bit(image[0]).permute(1, 2, 0).cpu().numpy() for name, image in images.items()}
        return {name: np.broadcast_to(array, (*array.shape[:2], 3)) for name, array in arrays.items()}
