# SPDX-License-Identifier: Apache-2.0
"""Batches of a dataset for training and evaluation.

A batch holds raw values as `cen_model.modalities.normalize` takes them, by modality (B, C, H, W): uint8, and depth in
float32 meters; "label" uint8 (B, H, W), 255 = void, where frames have one; and "index" int64 (B,), the frames' places
in the dataset, which stays on the CPU: `dataset.describe` names a frame's files without waiting for a device.

Axes: B batch, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from cen_model.data.augmentation import training_transform
from cen_model.data.data_config import DataConfig
from cen_model.data.dataset import Dataset
from cen_model.data.samples import HeldSamples, Samples, Views, shuffled_batches
from cen_model.data.transforms import Sample
from cen_model.utils.process_settings import leave_to_parent
from cen_model.utils.ranks import ALONE, Ranks

Batch = dict[str, Tensor]


def training_loader(
    dataset: Dataset,
    data: DataConfig,
    modalities: Sequence[str],
    batch: int,
    seed: int,
    steps: range,
    device: torch.device | str = "cpu",
    ranks: Ranks = ALONE,
    targets: Sequence[str] = (),
) -> Iterator[Batch]:
    """The batches of the training steps `steps`, augmented, on `device`; for one pass.

    Args:
        modalities: the network's inputs.
        batch: samples of all ranks together; each rank gets its share of every batch.
        targets: further modalities that come along and are neither jittered nor blanked, such as translation's target.

    Raises:
        ValueError: the batch is larger than the dataset, or cannot be shared equally.
    """
    device, names = torch.device(device), [*modalities, *targets]
    transform = training_transform(data, modalities)
    keys = shuffled_batches(len(dataset), batch, seed, steps, ranks)
    if data.on_device:
        views = Views(HeldSamples(dataset, names, data.size, device), transform, seed)
        return (_collated([views[key] for key in share]) for share in keys)
    loader = DataLoader(
        Views(Samples(dataset, names, data.size), transform, seed),
        batch_sampler=keys,
        num_workers=data.workers,
        collate_fn=_collated,
        worker_init_fn=leave_to_parent,
        pin_memory=device.type == "cuda",
        # A generator of its own: the global one must not depend on how often a loader was made.
        generator=torch.Generator(),
    )
    return (_moved(each, device) for each in _plainly(loader))


def evaluation_loader(
    dataset: Dataset, data: DataConfig, modalities: Sequence[str], batch: int, ranks: Ranks = ALONE
) -> Iterator[Batch]:
    """Every frame once, in order, at its own size (or `data.size`), on the CPU; for one pass.

    Only frames of one size share a batch, so that there may be batches of fewer than `batch`. Of several ranks, each
    gets its share of the frames.
    """
    samples = DataLoader(
        Samples(dataset, modalities, data.size),
        batch_size=None,
        sampler=ranks.part(len(dataset)),
        num_workers=data.workers,
        worker_init_fn=leave_to_parent,
        generator=torch.Generator(),
    )
    waiting: list[Sample] = []
    for sample in _plainly(samples):
        if waiting and (len(waiting) == batch or _size(sample) != _size(waiting[0])):
            yield _collated(waiting)
            waiting = []
        waiting.append(sample)
    if waiting:
        yield _collated(waiting)


def _plainly(loader: DataLoader) -> Iterator[Batch]:
    """What the loader gives; errors about files are a worker's own words, without the traceback torch puts round."""
    try:
        yield from loader
    except (ValueError, OSError) as error:
        _, in_worker, words = str(error).rpartition(f"\n{type(error).__name__}: ")
        if in_worker:
            raise type(error)(words.strip()) from error
        raise


def _size(sample: Sample) -> torch.Size:
    return next(iter(sample.values())).shape[-2:]


def _collated(samples: Sequence[Sample]) -> Batch:
    return default_collate([{name: tensor.as_subclass(Tensor) for name, tensor in each.items()} for each in samples])


def _moved(batch: Batch, device: torch.device) -> Batch:
    return {name: value if name == "index" else value.to(device, non_blocking=True) for name, value in batch.items()}
