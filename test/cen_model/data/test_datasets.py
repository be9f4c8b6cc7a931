# SPDX-License-Identifier: Apache-2.0
"""Datasets by name: synthetic and packed ones, derived modalities, and names that are unknown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cen_model.data.catalog import DATASETS, open_dataset
from cen_model.data.data_config import DataConfig, SyntheticConfig
from cen_model.data.dataset import Dataset
from cen_model.scenes.scene_dataset import render_scene

SMALL = SyntheticConfig(size=(24, 32), train_scenes=2, validation_scenes=1, test_scenes=1)


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    return DataConfig(synthetic=SMALL)


def test_synthetic_scenes(config, tmp_path):
    dataset = open_dataset(config, "train", ["rgb", "depth"])
    assert isinstance(dataset, Dataset)
    assert len(dataset) == 2
    made = render_scene(1, (24, 32))
    for name, array in dataset[1].items():
        assert (array == getattr(made, name)).all()
    assert dataset.describe(1) == "synthetic scene 1"
    assert open_dataset(config, "validation", ["rgb"]).describe(0) == "synthetic scene 1000000"
    assert list(tmp_path.rglob("scenes")), "rendered scenes are kept"


def test_lacking_modalities_are_derived(config):
    dataset = open_dataset(config, "test", ["rgb", "normal", "texture"])
    assert isinstance(dataset, Dataset)
    frame = dataset[0]
    assert frame["normal"].shape == (24, 32, 3)
    assert frame["texture"].dtype == np.uint8
    with pytest.raises(ValueError, match="curvature"):
        open_dataset(config, "test", ["rgb", "curvature"])


def test_unknown_names_are_explained(config, tmp_path):
    with pytest.raises(ValueError, match="did you mean nyudv2"):
        open_dataset(DataConfig("nyud"), "train", ["rgb"])
    with pytest.raises(ValueError, match=r"13 classes of its own.*nyu40"):
        open_dataset(DataConfig(synthetic=SMALL, label_set="nyu40"), "test", ["rgb"])
    with pytest.raises(ValueError, match="nyu41"):
        open_dataset(DataConfig(synthetic=SMALL, label_set="nyu41"), "test", ["rgb"])
    assert open_dataset(DataConfig(synthetic=SMALL, label_set="nyu13"), "test", ["rgb"])


@pytest.mark.parametrize("given", [{"root": Path("mine")}, {"layout": "esanet"}])
def test_a_folder_of_unnamed_data_is_not_taken_for_synthetic_scenes(config, given, tmp_path):
    ((key, value),) = given.items()
    with pytest.raises(ValueError, match=rf"data\.{key}: synthetic scenes .* {value}; name data\.dataset \(nyudv2, "):
        open_dataset(replace(config, **given), "test", ["rgb"])
    assert not list(tmp_path.iterdir()), "nothing is rendered"


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"synthetic"}))
def test_folders_that_are_not_there_or_empty_fail_in_words(name, tmp_path):
    for root in (None, tmp_path / "nowhere", tmp_path):
        with pytest.raises((ValueError, FileNotFoundError), match=str(root) if root else r"data\.root"):
            open_dataset(DataConfig(name, root), "train", ["rgb"])
