# SPDX-License-Identifier: Apache-2.0
"""Loaders: the same batches for any number of workers, any start, on the device or not; every frame evaluated once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from cen_model.data.data_config import DataConfig
from cen_model.data.dataset import Dataset
from cen_model.data.loaders import evaluation_loader, training_loader
from cen_model.data.transforms import Depth
from cen_model.utils.ranks import Ranks

DATA = DataConfig(crop=(24, 32), scale=(0.5, 1.5), jitter=0.4, cutout=0.5, modality_dropout=0.5)
INPUTS = ("rgb", "depth", "normal")


class Noise:
    """Ten frames of three sizes, one after another, half of the depth in meters."""

    modalities = ("rgb", "depth", "normal", "shade")
    labels = None

    def __init__(self, sizes: tuple[tuple[int, int], ...] = ((30, 40), (30, 40), (28, 44), (30, 44), (30, 44))) -> None:
        self.sizes = sizes * 2

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        height, width = self.sizes[index]
        noise = np.random.default_rng(index).integers(0, 256, (height, width, 10), np.uint8)
        depth = noise[..., 3].astype(np.uint16) * 20
        return {
            "rgb": noise[..., :3],
            "depth": depth / np.float32(1000) if index % 2 else depth,
            "normal": noise[..., 4:7],
            "shade": noise[..., 7],
            "label": noise[..., 8],
        }

    def describe(self, index: int) -> str:
        return f"frame {index}"

    def intrinsics(self, index: int) -> None:
        return None


def train(data: DataConfig = DATA, steps: range = range(7), batch: int = 4, **options) -> list[dict[str, Tensor]]:
    return list(training_loader(Noise(), data, INPUTS, batch, 3, steps, **options))


def assert_same(left: Iterable[dict[str, Tensor]], right: Iterable[dict[str, Tensor]]) -> None:
    for a, b in zip(left, right, strict=True):
        assert a.keys() == b.keys()
        for name, tensor in a.items():
            assert torch.equal(tensor, b[name]) and tensor.dtype == b[name].dtype, name


def test_what_a_batch_is() -> None:
    (batch,) = train(steps=range(1), targets=("shade",))
    assert {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in batch.items()} == {
        "rgb": ((4, 3, 24, 32), torch.uint8),
        "depth": ((4, 1, 24, 32), torch.float32),
        "normal": ((4, 3, 24, 32), torch.uint8),
        "shade": ((4, 1, 24, 32), torch.uint8),
        "label": ((4, 24, 32), torch.uint8),
        "index": ((4,), torch.int64),
    }
    assert {type(tensor) for tensor in batch.values()} == {Tensor}
    assert isinstance(Noise(), Dataset)


def test_the_index_names_the_frames_of_a_batch() -> None:
    plain = DataConfig(size=(30, 40), crop=(30, 40), scale=(1.0, 1.0), jitter=0.0, mirror=0.0)
    frames = Noise(((30, 40),) * 5)
    for batch in training_loader(frames, plain, INPUTS, 4, 3, range(4)):
        for image, index in zip(batch["rgb"], batch["index"].tolist(), strict=True):
            assert np.array_equal(image.permute(1, 2, 0).numpy(), frames[index]["rgb"])


@pytest.mark.parametrize("size", [None, (33, 41)])
def test_the_same_batches_for_workers_and_on_the_device(size: tuple[int, int] | None) -> None:
    straight = train(replace(DATA, size=size))
    assert_same(straight, train(replace(DATA, size=size, workers=2)))
    assert_same(straight, train(replace(DATA, size=size, on_device=True)))


@pytest.mark.parametrize("changes", [{"workers": 1}, {"on_device": True}], ids=str)
def test_the_same_batches_from_any_start(changes: dict) -> None:
    assert_same(train()[4:], train(replace(DATA, **changes), range(4, 7)))


@pytest.mark.parametrize("changes", [{}, {"on_device": True}], ids=str)
def test_ranks_together_see_the_single_process_batch(changes: dict) -> None:
    ranks = [train(replace(DATA, **changes), ranks=Ranks(rank, 2)) for rank in range(2)]
    together = [{name: torch.cat([a[name], b[name]]) for name in a} for a, b in zip(*ranks, strict=True)]
    assert_same(train(), together)


def test_on_the_device_frames_are_kept_and_augmented_there() -> None:
    """A "meta" device has no values, and whatever is computed elsewhere would have some."""
    data = replace(DATA, on_device=True, cutout=0.0, modality_dropout=0.0)
    (batch,) = train(data, range(1), device="meta")
    assert {name: tensor.device.type for name, tensor in batch.items()} == {
        **dict.fromkeys((*INPUTS, "label"), "meta"),
        "index": "cpu",
    }


def test_batches_go_to_the_device() -> None:
    (batch,) = train(steps=range(1), device="meta")
    assert {name for name, tensor in batch.items() if tensor.device.type == "meta"} == {*INPUTS, "label"}


def test_impossible_batches_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="10 training frames, fewer than one batch of 11"):
        training_loader(Noise(), DATA, INPUTS, 11, 3, range(1))
    with pytest.raises(ValueError, match="4 samples cannot be shared equally by 3"):
        training_loader(Noise(), DATA, INPUTS, 4, 3, range(1), ranks=Ranks(0, 3))


@pytest.mark.parametrize("workers", [0, 2])
def test_every_frame_is_evaluated_once_in_order_with_its_likes(workers: int) -> None:
    batches = list(evaluation_loader(Noise(), replace(DATA, workers=workers), INPUTS, 2))
    assert [batch["index"].tolist() for batch in batches] == [[0, 1], [2], [3, 4], [5, 6], [7], [8, 9]]
    for batch in batches:
        for position, index in enumerate(batch["index"].tolist()):
            frame = Noise()[index]
            assert np.array_equal(batch["rgb"][position].permute(1, 2, 0).numpy(), frame["rgb"])
            assert np.array_equal(batch["label"][position].numpy(), frame["label"])
            meters = frame["depth"] / 1000 if frame["depth"].dtype == np.uint16 else frame["depth"]
            np.testing.assert_allclose(batch["depth"][position, 0].numpy(), meters, rtol=1e-6)
        assert not isinstance(batch["depth"], Depth)


def test_full_batches_are_full() -> None:
    lengths = [len(batch["index"]) for batch in evaluation_loader(Noise(((30, 40),) * 5), DATA, INPUTS, 4)]
    assert lengths == [4, 4, 2]


def test_resized_frames_share_batches() -> None:
    (batch,) = evaluation_loader(Noise(), replace(DATA, size=(20, 30)), ("rgb",), 10)
    assert batch["rgb"].shape == (10, 3, 20, 30) and batch["label"].shape == (10, 20, 30)


@pytest.mark.parametrize("world", [2, 3, 4])
def test_ranks_share_the_evaluation(world: int) -> None:
    shares = [evaluation_loader(Noise(), DATA, ("rgb",), 2, Ranks(rank, world)) for rank in range(world)]
    indices = [[index for batch in share for index in batch["index"].tolist()] for share in shares]
    assert [index for share in indices for index in share] == list(range(10))
    assert max(map(len, indices)) - min(map(len, indices)) <= 1


class Damaged(Noise):
    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        if index == 7:
            raise ValueError("depth/0007.png: cannot be read; it is empty")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_file_is_named_and_nothing_else_said(workers: int) -> None:
    data = replace(DATA, workers=workers)
    for batches in (
        training_loader(Damaged(), data, INPUTS, 5, 0, range(2)),
        evaluation_loader(Damaged(), data, INPUTS, 2),
    ):
        with pytest.raises(ValueError, match="empty") as refusal:
            list(batches)
        assert str(refusal.value) == "depth/0007.png: cannot be read; it is empty"
