# SPDX-License-Identifier: Apache-2.0
"""Samples and their order: what a view depends on, and that every epoch is a permutation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from cen_model.data.augmentation import training_transform
from cen_model.data.data_config import DataConfig
from cen_model.data.samples import HeldSamples, Samples, Views, shuffled_batches, steps_per_epoch
from cen_model.utils.ranks import Ranks

FRAMES = [
    {
        "rgb": np.random.default_rng(i).integers(0, 256, (20, 30, 3), np.uint8),
        "depth": np.full((20, 30), 1000 * i, np.uint16),
        "label": np.full((20, 30), i, np.uint8),
    }
    for i in range(3)
]
NAMES = ("rgb", "depth")


def views(seed: int = 3) -> Views:
    config = DataConfig(crop=(16, 16), scale=(0.7, 1.5), jitter=0.4)
    return Views(Samples(FRAMES, NAMES), training_transform(config, NAMES), seed)


def test_samples_are_the_frames() -> None:
    for index, (frame, sample) in enumerate(zip(FRAMES, Samples(FRAMES, NAMES), strict=True)):
        assert np.array_equal(sample["rgb"].permute(1, 2, 0).numpy(), frame["rgb"])
        assert np.array_equal(sample["label"].numpy(), frame["label"])
        assert sample["depth"].dtype == torch.float32 and (sample["depth"] == index).all()
        assert sample["index"].dtype == torch.int64 and sample["index"] == index


def test_held_samples_are_read_once_and_stay_as_small_as_they_were() -> None:
    read = []

    class Counted(list):
        def __getitem__(self, index: int) -> dict[str, np.ndarray]:
            read.append(index)
            return super().__getitem__(index)

    held = HeldSamples(Counted(FRAMES), NAMES, None, torch.device("cpu"))
    for _ in range(2):
        for index, sample in enumerate(Samples(FRAMES, NAMES)):
            assert all(torch.equal(held[index][name], tensor) for name, tensor in sample.items())
    assert read == [0, 1, 2]
    assert {name: tensor.dtype for name, tensor in held.raw(0).items()} == {
        "rgb": torch.uint8,
        "depth": torch.uint16,
        "label": torch.uint8,
    }


def test_views_differ_by_seed_epoch_and_index() -> None:
    twins = Views(Samples([FRAMES[0]] * 2, NAMES), views().transform, 3)
    assert not torch.equal(twins[0, 0]["rgb"], twins[0, 1]["rgb"])
    several = [views()[0, 0], views()[1, 0], views()[0, 1], views(seed=4)[0, 0]]
    for a, b in itertools.combinations(several, 2):
        assert not torch.equal(a["rgb"], b["rgb"])


def test_views_do_not_depend_on_what_was_asked_before() -> None:
    mine, fresh = views(), views()
    mine[0, 1], mine[5, 2]
    torch.rand(3)
    assert all(torch.equal(mine[2, 0][name], fresh[2, 0][name]) for name in NAMES)


def test_views_leave_the_global_generator_and_the_samples_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    config = DataConfig(crop=(20, 30), scale=(1.0, 1.0), mirror=1.0, jitter=0.4, cutout=1.0, modality_dropout=1.0)
    held = HeldSamples(FRAMES, NAMES, None, torch.device("cpu"))
    blanking = Views(held, training_transform(config, NAMES), 0)
    for epoch in range(4):
        blanking[epoch, 1]
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(held.raw(1)["rgb"].permute(1, 2, 0).numpy(), FRAMES[1]["rgb"])
    assert np.array_equal(held.raw(1)["depth"][0].numpy(), FRAMES[1]["depth"])


def test_every_epoch_has_each_sample_once_in_an_order_of_its_own() -> None:
    keys = list(shuffled_batches(12, 3, 0, range(8)))
    assert [[epoch for epoch, _ in batch] for batch in keys] == [[0] * 3] * 4 + [[1] * 3] * 4
    orders = [[index for batch in part for _, index in batch] for part in (keys[:4], keys[4:])]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(12))
    assert orders[0] != orders[1]


def test_the_incomplete_batch_is_dropped_and_a_later_start_changes_nothing() -> None:
    straight = list(shuffled_batches(11, 3, 0, range(9)))
    assert {len(batch) for batch in straight} == {3}
    assert len({index for batch in straight[:3] for _, index in batch}) == 9
    assert list(shuffled_batches(11, 3, 0, range(4, 9))) == straight[4:]


def test_ranks_together_have_the_single_process_batch() -> None:
    single = list(shuffled_batches(10, 6, 0, range(5)))
    ranks = [list(shuffled_batches(10, 6, 0, range(5), Ranks(rank, 3))) for rank in range(3)]
    assert [a + b + c for a, b, c in zip(*ranks, strict=True)] == single


def test_too_few_samples_and_unequal_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="2 training frames, fewer than one batch of 3"):
        steps_per_epoch(2, 3)
    with pytest.raises(ValueError, match="fewer than one batch"):
        shuffled_batches(2, 3, 0, range(1))
    with pytest.raises(ValueError, match=r"optimizer\.batch: 6 samples cannot be shared equally by 4 processes"):
        shuffled_batches(10, 6, 0, range(1), Ranks(0, 4))
