# SPDX-License-Identifier: Apache-2.0
"""Samples of a dataset, plain or as random views, and the order in which training asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils import data as torch_data
from torchvision.transforms import v2

from cen_model.data.dataset import Dataset
from cen_model.data.transforms import Meters, Sample, to_sample
from cen_model.utils.ranks import ALONE, Ranks

Key = tuple[int, int]
"""(epoch, index) of a random view."""


class Samples(torch_data.Dataset):
    """The samples of a dataset in order, with their "index"; depth in meters.

    Args:
        names: modalities that are wanted; labels come with them.
        size: height and width that frames are resized to; None leaves them.
    """

    def __init__(self, dataset: Dataset, names: Sequence[str], size: tuple[int, int] | None = None):
        self.dataset, self.names, self.size = dataset, names, size
        self._meters = Meters()

    def __len__(self) -> int:
        return len(self.dataset)

    def raw(self, index: int) -> Sample:
        """In the dataset's own units."""
        return to_sample(self.dataset[index], self.names, self.size)

    def __getitem__(self, index: int) -> Sample:
        return {**self._meters(self.raw(index)), "index": torch.tensor(index)}


class HeldSamples(Samples):
    """The same, read once and kept on a device, in the frames' own types."""

    def __init__(
        self, dataset: Dataset, names: Sequence[str], size: tuple[int, int] | None, device: torch.device
    ) -> None:
        super().__init__(dataset, names, size)
        self._held = [_moved(super(HeldSamples, self).raw(index), device) for index in range(len(dataset))]

    def raw(self, index: int) -> Sample:
        return self._held[index]


class Views(torch_data.Dataset):
    """Random views of samples, asked for by ``(epoch, index)``.

    The view depends on seed, epoch and index alone: neither on the worker that makes it nor on what was asked before,
    so that a resumed training sees the same data as one that was never stopped.
    """

    def __init__(self, samples: Samples, transform: v2.Transform, seed: int):
        self.samples, self.transform, self.seed = samples, transform, seed

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: Key) -> Sample:
        epoch, index = key
        # torchvision draws from the global CPU generator, which must be as before when the training goes on.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(self.seed, epoch, index))
            return {**self.transform(self.samples.raw(index)), "index": torch.tensor(index)}


def derive_seed(*words: int) -> int:
    """One 64-bit seed from several non-negative integers, well mixed."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])


def shuffled_batches(samples: int, batch: int, seed: int, steps: range, ranks: Ranks = ALONE) -> Iterator[list[Key]]:
    """The ``(epoch, index)`` keys of every batch of the training steps `steps`, a new order each epoch.

    The incomplete batch at the end of an epoch is dropped (other samples each time). Starting at step n gives exactly
    the batches that a start at 0 would have given from step n on. Each of several ranks gets its share of every batch.

    Raises:
        ValueError: there are fewer samples than one batch needs, or a batch cannot be shared equally.
    """
    if batch % ranks.size:
        raise ValueError(f"optimizer.batch: {batch} samples cannot be shared equally by {ranks.size} processes")
    per_epoch, mine = steps_per_epoch(samples, batch), ranks.part(batch)
    return ([keys[place] for place in mine] for keys in _batches(samples, batch, per_epoch, seed, steps))


def _batches(samples: int, batch: int, per_epoch: int, seed: int, steps: range) -> Iterator[list[Key]]:
    order = np.empty(0, np.int64)
    shuffled = -1
    for step in steps:
        epoch, position = divmod(step, per_epoch)
        if epoch != shuffled:
            order, shuffled = np.random.default_rng((seed, epoch)).permutation(samples), epoch
        yield [(epoch, int(index)) for index in order[position * batch : (position + 1) * batch]]


def steps_per_epoch(samples: int, batch: int) -> int:
    """Number of full batches in an epoch."""
    if samples < batch:
        raise ValueError(f"data: {samples} training frames, fewer than one batch of {batch}; make the batch smaller")
    return samples // batch


def _moved(sample: Sample, device: torch.device) -> Sample:
    return {name: tensor.to(device) for name, tensor in sample.items()}
