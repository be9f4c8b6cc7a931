# SPDX-License-Identifier: Apache-2.0
"""What stops a run that is no longer finite, before anything of it is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from cen_model.data.dataset import Dataset
from cen_model.training.sharding import here
from cen_model.utils.ranks import Ranks


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

    def check(self, modules: Iterable[nn.Module] = ()) -> None:
        """Forget the steps noted so far; to be called in every process.

        Args:
            modules: that are to be written now. A finite loss can have a gradient that is not, and no step after it.

        Raises:
            ValueError: naming the first step of any process whose loss was not finite, or the last if weights are not.
        """
        found = [each for each in Ranks.current().each(self._first_loss() or self._weights(modules)) if each]
        if found:
            good = f"{self._good} is from before" if self._good.exists() else "nothing was saved before"
            raise ValueError(
                f"{min(found)[1]}. {good}. Lower optimizer.encoder_lr and decoder_lr, clip gradients "
                "(optimizer.clip), or look at these files"
            )
        self._steps.clear()

    def _first_loss(self) -> tuple[int, str] | None:
        """The first step whose loss was not finite, in words."""
        finite = torch.stack([torch.stack(list(terms.values())).isfinite().all() for _, terms, _ in self._steps])
        if finite.all():
            return None
        step, terms, indices = self._steps[int(finite.int().argmin())]
        wrong = ", ".join(f"{name} {term.item()}" for name, term in terms.items() if not term.isfinite())
        return step, f"the loss is no longer finite at step {step}: {wrong}. Its batch: {self._frames(indices)}"

    def _weights(self, modules: Iterable[nn.Module]) -> tuple[int, str] | None:
        tensors = (here(tensor) for module in modules for tensor in module.state_dict().values())
        if all(tensor.isfinite().all() for tensor in tensors):
            return None
        step, _, indices = self._steps[-1]
        return step, f"weights are no longer finite after step {step}. Its batch: {self._frames(indices)}"

    def _frames(self, indices: Tensor) -> str:
        return "; ".join(self._dataset.describe(int(index)) for index in indices)
