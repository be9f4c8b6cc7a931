# SPDX-License-Identifier: Apache-2.0
"""What stops a run whose loss is no longer a number, before anything of it is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from cen_model.data.dataset import Dataset


class Sentinel:
    """Remembers the latest steps; asking a GPU for every one of them would make it wait.

    Args:
        dataset: that the batches are of.
        good: the checkpoint that is named as the last good one.
    """

    def __init__(self, dataset: Dataset, good: Path) -> None:
        self._dataset, self._good = dataset, good
        self._steps: list[tuple[int, Mapping[str, Tensor], Tensor]] = []

    def note(self, step: int, terms: Mapping[str, Tensor], indices: Tensor) -> None:
        """Of a step: the terms of its loss, and which frames its batch was made of."""
        self._steps.append((step, terms, indices))

    def check(self) -> None:
        """Forget the steps noted so far. Raises ValueError that names the first one whose loss was not finite."""
        finite = torch.stack([torch.stack(list(terms.values())).isfinite().all() for _, terms, _ in self._steps])
        if not finite.all():
            step, terms, indices = self._steps[int(finite.int().argmin())]
            wrong = ", ".join(f"{name} {term.item()}" for name, term in terms.items() if not term.isfinite())
            frames = "; ".join(self._dataset.describe(int(index)) for index in indices)
            good = f"{self._good} is from before" if self._good.exists() else "nothing was saved before"
            raise ValueError(
                f"the loss is no longer finite at step {step}: {wrong}. Its batch: {frames}. {good}. Lower "
                "optimiser.encoder_lr and decoder_lr, clip gradients (optimiser.clip), or look at these files"
            )
        self._steps.clear()
