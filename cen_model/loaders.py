# SPDX-License-Identifier: Apache-2.0
"""Loaders of synthetic scenes for training and evaluation."""

from __future__ import annotations

import os

import torch
from torch.utils.data import DataLoader

from cen_model.data.synthetic import SyntheticScenes, prerender
from cen_model.data.transforms import AugmentedSamples, Samples, shuffled_batches, training_transform
from cen_model.files import cache_directory
from cen_model.train_config import DataConfig


def cached_scenes(seeds: range, size: tuple[int, int]) -> SyntheticScenes:
    """The scenes of `seeds`, rendered on all cores into the project's cache where they are not there yet."""
    folder = cache_directory() / "scenes"
    prerender(seeds, size, folder, workers=os.cpu_count() or 1)
    return SyntheticScenes(seeds, size, folder)


def training_loader(scenes: SyntheticScenes, config: DataConfig, batch: int, seed: int, steps: range) -> DataLoader:
    """The batches of the training steps `steps`, augmented; for one pass."""
    transform = training_transform(config.crop, config.scale, config.jitter)
    return DataLoader(
        AugmentedSamples(scenes, transform, seed),
        batch_sampler=shuffled_batches(len(scenes), batch, seed, steps),
        num_workers=config.workers,
        # A generator of its own: the global one must not depend on how often a loader was made.
        generator=torch.Generator(),
    )


def evaluation_loader(scenes: SyntheticScenes, batch: int) -> DataLoader:
    """Every scene once, at full size, in order."""
    return DataLoader(Samples(scenes), batch_size=batch, generator=torch.Generator())
