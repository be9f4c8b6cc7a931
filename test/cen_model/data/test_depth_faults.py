# SPDX-License-Identifier: Apache-2.0
"""Faults of a depth camera: where depth is lost, and how far off it is where it is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cen_model.data.augmentation import training_transform
from cen_model.data.data_config import DataConfig
from cen_model.data.transforms import Sample, to_sample

SIZE = HEIGHT, WIDTH = 96, 128
DRAWS = 60
BOX = slice(30, 60), slice(40, 80)


def room(wall: float = 2.0, box: float = 1.0, brightness: int = 120) -> dict[str, np.ndarray]:
    """A wall in meters, and a box in front of it that has its own brightness."""
    depth = np.full(SIZE, wall, np.float32)
    depth[BOX] = box
    rgb = np.full((*SIZE, 3), 120, np.uint8)
    rgb[BOX] = brightness
    return {"rgb": rgb, "depth": depth, "label": np.zeros(SIZE, np.uint8)}


def faulty(frame: dict[str, np.ndarray], seed: int, probability: float = 1.0) -> Sample:
    config = DataConfig(crop=SIZE, scale=(1.0, 1.0), mirror=0.0, jitter=0.0, depth_faults=probability)
    torch.manual_seed(seed)
    return training_transform(config, ["rgb", "depth"])(to_sample(frame, ["rgb", "depth"]))


def lost(frame: dict[str, np.ndarray]) -> np.ndarray:
    """How often each pixel is lost."""
    return np.mean([faulty(frame, seed)["depth"][0].numpy() == 0 for seed in range(DRAWS)], axis=0)


def test_depth_that_is_left_is_off_by_noise_and_steps_that_grow_with_squared_range() -> None:
    """At most 4 mm of deviation (five of them are as good as never exceeded) and half a step of 4 mm, at 1 m."""
    for range_m in (1.0, 3.0):
        for seed in range(DRAWS):
            depth = faulty(room(range_m, range_m), seed)["depth"][0].numpy()
            off = np.abs(depth[depth > 0] - range_m)
            assert off.max(initial=0) < (5 * 0.004 + 0.5 * 0.004) * range_m**2 * 1.1


def test_nothing_but_depth_changes_and_holes_stay_holes() -> None:
    frame = room()
    frame["depth"][:, 100:] = 0
    sample = faulty(frame, 0)
    assert np.array_equal(sample["rgb"].permute(1, 2, 0).numpy(), frame["rgb"])
    assert np.array_equal(sample["label"].numpy(), frame["label"])
    assert (sample["depth"][0, :, 102:126] == 0).all(), "a shift is of one pixel at most here"


def test_most_depth_is_left() -> None:
    assert 0.05 < lost(room()).mean() < 0.35


@pytest.mark.parametrize(
    ("frame", "where"),
    [
        (room(), (slice(30, 60), slice(39, 41))),
        (room(2.0, 2.0, brightness=5), BOX),
        (room(2.0, 2.0, brightness=250), BOX),
        (room(2.0, 7.0), BOX),
        (room(2.0, 0.35), BOX),
    ],
    ids=["beside a step", "dark", "shiny", "far", "near"],
)
def test_depth_is_lost_where_a_camera_loses_it(frame: dict[str, np.ndarray], where: tuple[slice, slice]) -> None:
    shares = lost(frame)
    wall = shares[70:85, 20:100].mean()
    assert shares[where].mean() > wall + 0.15


def test_a_share_of_the_samples_is_left_as_it_is() -> None:
    untouched = sum(bool((faulty(room(), seed, 0.25)["depth"] > 0).all()) for seed in range(100))
    assert 60 <= untouched <= 90


def test_depth_that_is_to_be_made_keeps_its_truth() -> None:
    """As the target of translation, which is moved with the inputs but never changed."""
    config = DataConfig(crop=SIZE, scale=(1.0, 1.0), mirror=0.0, jitter=0.0, depth_faults=1.0)
    sample = training_transform(config, ["rgb"])(to_sample(room(), ["rgb", "depth"]))
    assert np.array_equal(sample["depth"][0].numpy(), room()["depth"])
