# SPDX-License-Identifier: Apache-2.0
"""Joint transforms of an RGB-D sample, built on torchvision's v2 transforms and `tv_tensors`.

A sample is ``{"rgb": Image uint8 (3, H, W), "depth": Depth float32 (1, H, W) metres with 0 = hole, "label": Mask uint8
(H, W) with 255 = void}``. Geometry acts on all of them alike: RGB bilinear, depth and label nearest (an average of two
depths, or of two class ids, is neither). Photometric jitter acts on RGB alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from cen_model.data.classes import VOID
from cen_model.modalities import IMAGENET_MEAN

PADDING_RGB = tuple(round(255 * mean) for mean in IMAGENET_MEAN)
"""Padding colour of the paper's code: zero after normalisation."""


class Depth(tv_tensors.Mask):
    """A depth map: moved like a mask (nearest), but with its own padding value, 0 = hole."""


class RandomScale(v2.Transform):
    """Resize by one random factor from the uniform range `factors`, whatever the size of the frame."""

    def __init__(self, factors: tuple[float, float]):
        super().__init__()
        self.factors = factors

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = v2.query_size(flat_inputs)
        factor = float(torch.empty(()).uniform_(*self.factors))
        return {"size": [round(height * factor), round(width * factor)]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(v2.functional.resize, inpt, size=params["size"], antialias=True)


def training_transform(
    crop: tuple[int, int], scale: tuple[float, float] = (0.5, 2.0), jitter: float = 0.0, mirror: float = 0.5
) -> v2.Transform:
    """Random scale, crop (padded where the scaled frame is smaller), mirror and photometric jitter.

    Args:
        crop: height and width of the result in pixels.
        scale: range of the resizing factor.
        jitter: strength of the change of brightness, contrast and saturation, 0 = none.
        mirror: probability of a horizontal flip.
    """
    fill = {tv_tensors.Image: PADDING_RGB, Depth: 0, tv_tensors.Mask: VOID}
    return v2.Compose(
        [
            RandomScale(scale),
            v2.RandomCrop(crop, pad_if_needed=True, fill=fill),
            v2.RandomHorizontalFlip(mirror),
            v2.ColorJitter(brightness=jitter, contrast=jitter, saturation=jitter),
        ]
    )


def to_sample(frame: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Sample of a frame ``{rgb uint8 (H, W, 3), depth uint16 mm (H, W) with 0 = hole, label uint8 (H, W)}``."""
    metres = frame["depth"].astype(np.float32) / 1000
    return {
        "rgb": tv_tensors.Image(torch.from_numpy(np.ascontiguousarray(frame["rgb"])).permute(2, 0, 1)),
        "depth": Depth(torch.from_numpy(metres)[None]),
        "label": tv_tensors.Mask(torch.from_numpy(np.ascontiguousarray(frame["label"]))),
    }


class Samples(Dataset):
    """The samples of `frames` as they are, in order."""

    def __init__(self, frames: Sequence[Mapping[str, np.ndarray]]):
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return to_sample(self.frames[index])


class AugmentedSamples(Samples):
    """Random views of `frames`, asked for by ``(epoch, index)``.

    The view depends on seed, epoch and index alone: neither on the worker that makes it nor on what was asked before,
    so that a resumed training sees the same data as one that was never stopped.
    """

    def __init__(self, frames: Sequence[Mapping[str, np.ndarray]], transform: v2.Transform, seed: int):
        super().__init__(frames)
        self.transform = transform
        self.seed = seed

    def __getitem__(self, key: tuple[int, int]) -> dict[str, torch.Tensor]:
        epoch, index = key
        # torchvision draws from the global CPU generator, which must be as before when the training goes on.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(self.seed, epoch, index))
            return self.transform(super().__getitem__(index))


def derive_seed(*words: int) -> int:
    """One 64-bit seed from several non-negative integers, well mixed."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])


def shuffled_batches(samples: int, batch: int, seed: int, steps: range) -> Iterator[list[tuple[int, int]]]:
    """The ``(epoch, index)`` keys of every batch of the training steps `steps`, a new order each epoch.

    The incomplete batch at the end of an epoch is dropped (other samples each time). Starting at step n gives exactly
    the batches that a start at 0 would have given from step n on.

    Raises:
        ValueError: there are fewer samples than one batch needs.
    """
    per_epoch = steps_per_epoch(samples, batch)
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
        raise ValueError(f"data: {samples} training scenes, fewer than one batch of {batch}; make the batch smaller")
    return samples // batch
