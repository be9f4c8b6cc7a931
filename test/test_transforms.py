# SPDX-License-Identifier: Apache-2.0
"""Transforms: one geometry for RGB, depth and label; the same data for every number of workers and every start."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from cen_model.data.classes import VOID
from cen_model.data.transforms import (
    PADDING_RGB,
    AugmentedSamples,
    Samples,
    shuffled_batches,
    to_sample,
    training_transform,
)

HEIGHT, WIDTH = 40, 60


def coordinate_frame() -> dict[str, np.ndarray]:
    """A frame whose three images all tell, in their own way, which pixel (x, y) they show."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    rgb = np.stack([4 * x, 4 * y, np.zeros_like(x)], axis=-1).astype(np.uint8)
    return {"rgb": rgb, "depth": (y * WIDTH + x + 1).astype(np.uint16), "label": label_of(x, y).astype(np.uint8)}


def label_of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (7 * y + 3 * x) % 200


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.5, 0.9), (1.3, 2.0)])
def test_geometry_is_joint(scale: tuple[float, float], seed: int) -> None:
    torch.manual_seed(seed)
    sample = training_transform(crop=(32, 48), scale=scale)(to_sample(coordinate_frame()))
    rgb, depth, label = sample["rgb"].numpy().astype(int), sample["depth"].numpy()[0], sample["label"].numpy()
    assert rgb.shape == (3, 32, 48)
    assert depth.shape == label.shape == (32, 48)

    padding = depth == 0
    assert np.array_equal(padding, label == VOID)
    assert (rgb[:, padding].T == PADDING_RGB).all()

    y, x = np.divmod(np.round(depth[~padding] * 1000).astype(int) - 1, WIDTH)
    assert np.array_equal(label[~padding], label_of(x, y)), "depth and label show different pixels"
    # RGB is bilinear, 4 grey values to the pixel of the frame: it may differ from the nearest by one output pixel.
    tolerance = 4 * max(1.0, 1 / scale[0]) + 1
    assert np.abs(rgb[0][~padding] - 4 * x).max() <= tolerance
    assert np.abs(rgb[1][~padding] - 4 * y).max() <= tolerance


def test_mirror_flips_everything() -> None:
    keep, flip = (training_transform((HEIGHT, WIDTH), (1.0, 1.0), mirror=p) for p in (0.0, 1.0))
    frame = coordinate_frame()
    kept, flipped = keep(to_sample(frame)), flip(to_sample(frame))
    assert np.array_equal(kept["label"].numpy(), frame["label"])
    for name in kept:
        assert torch.equal(kept[name].flip(-1), flipped[name])


def test_jitter_changes_rgb_alone() -> None:
    torch.manual_seed(0)
    frame = coordinate_frame()
    sample = training_transform((HEIGHT, WIDTH), (1.0, 1.0), jitter=0.5, mirror=0.0)(to_sample(frame))
    assert sample["rgb"].dtype == torch.uint8
    assert not np.array_equal(sample["rgb"].permute(1, 2, 0).numpy(), frame["rgb"])
    assert np.array_equal(sample["label"].numpy(), frame["label"])
    np.testing.assert_allclose(sample["depth"].numpy()[0], frame["depth"] / 1000, rtol=1e-6)


def augmented(seed: int = 3) -> AugmentedSamples:
    return AugmentedSamples([coordinate_frame()] * 10, training_transform((24, 32), (0.5, 1.5), jitter=0.4), seed)


def batches(workers: int, steps: range) -> list[dict[str, torch.Tensor]]:
    loader = DataLoader(augmented(), batch_sampler=shuffled_batches(10, 3, 5, steps), num_workers=workers)
    return list(loader)


def assert_same(left: list[dict[str, torch.Tensor]], right: list[dict[str, torch.Tensor]]) -> None:
    for a, b in zip(left, right, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_same_data_for_any_number_of_workers_and_any_start() -> None:
    straight = batches(0, range(8))
    assert_same(straight, batches(2, range(8)))
    assert_same(straight[4:], batches(1, range(4, 8)))


def test_views_differ_by_seed_epoch_and_index() -> None:
    samples = augmented()
    views = [samples[0, 0], samples[1, 0], samples[0, 1], augmented(seed=4)[0, 0]]
    for a, b in itertools.combinations(views, 2):
        assert not torch.equal(a["rgb"], b["rgb"])


def test_augmentation_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    augmented()[0, 0]
    assert torch.equal(torch.get_rng_state(), before)


def test_every_epoch_has_each_sample_once_in_an_order_of_its_own() -> None:
    keys = list(shuffled_batches(12, 3, 0, range(8)))
    assert [[epoch for epoch, _ in batch] for batch in keys] == [[0] * 3] * 4 + [[1] * 3] * 4
    orders = [[index for batch in part for _, index in batch] for part in (keys[:4], keys[4:])]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(12))
    assert orders[0] != orders[1]


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="2 training scenes, fewer than one batch of 3"):
        next(shuffled_batches(2, 3, 0, range(1)))


def test_samples_are_the_frames() -> None:
    frame = coordinate_frame()
    sample = Samples([frame])[0]
    assert np.array_equal(sample["rgb"].permute(1, 2, 0).numpy(), frame["rgb"])
    assert np.array_equal(sample["label"].numpy(), frame["label"])
    assert sample["depth"].dtype == torch.float32
