# SPDX-License-Identifier: Apache-2.0
"""Synthetic scenes among frames with finer classes: which classes each of their labels may be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cen_model.classes import LABEL_SETS, NYU13, NYU13_OF_NYU40, VOID
from cen_model.data.catalog import open_dataset
from cen_model.data.coarse_labels import CoarseLabels
from cen_model.data.data_config import DataConfig, SyntheticConfig
from cen_model.data.tools.pack import pack
from cen_model.training.run_config import parse

SIZE = (24, 32)


class Coarse:
    """One frame with every class of NYU13 and void."""

    modalities, labels = ("rgb", "depth"), LABEL_SETS["nyu13"]

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {"label": np.array([[*range(13), VOID]], np.uint8)}

    def describe(self, index: int) -> str:
        return f"coarse frame {index}"

    def intrinsics(self, index: int) -> None:
        return None


class Fine(Coarse):
    """Frames of noise with NYU40's classes."""

    labels = LABEL_SETS["nyu40"]

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        random = np.random.default_rng(index)
        return {
            "rgb": random.integers(0, 256, (*SIZE, 3), np.uint8),
            "depth": random.integers(500, 5000, SIZE, np.uint16),
            "label": random.integers(0, 40, SIZE, np.uint8),
        }


@pytest.mark.parametrize("name", ["nyu40", "sun37", "nyu13"])
def test_each_label_stands_for_the_classes_that_are_merged_into_it(name: str) -> None:
    fine = LABEL_SETS[name]
    merged = range(13) if name == "nyu13" else NYU13_OF_NYU40
    dataset = CoarseLabels(Coarse(), fine)
    *ids, void = dataset[0]["label"][0].tolist()
    assert void == VOID
    stands_for = [*((k,) for k in range(len(fine.names))), *dataset.labels.sets]
    for coarse, label in enumerate(ids):
        expected = {k for k in range(len(fine.names)) if merged[k] == coarse}
        assert set(stands_for[label]) == expected, NYU13[coarse]
    assert dataset.labels.names == fine.names
    assert dataset.describe(0) == "coarse frame 0"


def test_other_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"data.with_synthetic: .* the data's 19 \(road, sidewalk"):
        CoarseLabels(Coarse(), LABEL_SETS["cityscapes19"])


def test_smoothed_labels_do_not_go_with_sets_of_classes() -> None:
    with pytest.raises(ValueError, match=r"label_smoothing and data.with_synthetic=true cannot go together"):
        parse(["label_smoothing=0.1", "data.with_synthetic=true"])


@pytest.mark.usefixtures("scene_cache")
def test_scenes_come_behind_the_frames(tmp_path: Path) -> None:
    path = tmp_path / "fine.safetensors"
    pack({"train": Fine(2), "validation": Fine(1), "test": Fine(1)}, path, SIZE, ["rgb", "depth"])
    scenes = SyntheticConfig(size=SIZE, train_scenes=2, validation_scenes=1, test_scenes=1)
    config = DataConfig("packed", path, synthetic=scenes, with_synthetic=True)
    mixed = open_dataset(config, "train", ["rgb", "depth"])
    alone = open_dataset(DataConfig(synthetic=scenes), "train", ["rgb", "depth"])
    assert (len(mixed), mixed.labels.names) == (4, LABEL_SETS["nyu40"].names)
    assert mixed.describe(2) == alone.describe(0)
    for k in range(2):
        assert mixed[k]["label"].max() < 40
        assert np.array_equal(mixed[2 + k]["rgb"], alone[k]["rgb"])
        assert np.array_equal(mixed[2 + k]["label"], CoarseLabels(alone, mixed.labels)[k]["label"])
    assert len(open_dataset(config, "validation", ["rgb", "depth"])) == 1


def test_synthetic_scenes_are_not_mixed_with_themselves() -> None:
    with pytest.raises(ValueError, match=r"data.with_synthetic: the data is synthetic itself"):
        open_dataset(DataConfig(with_synthetic=True), "train", ["rgb", "depth"], render=False)
