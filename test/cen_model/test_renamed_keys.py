# SPDX-License-Identifier: Apache-2.0
"""Keys of version 0.1: read in files that this project wrote, refused in what a user writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open
from safetensors.numpy import save_file

import cen_model
from cen_model.checkpoint import read_metadata
from cen_model.data.formats.packed import Packed
from cen_model.training.config_changes import changes
from cen_model.training.run_config import parse
from cen_model.utils.files import find_weights

OLD_SECTIONS = {
    "optimiser": {"optimiser": {"batch": 2}},
    "penalised": {"model": {"exchange": {"penalised": "all"}}},
    "normalised": {"task": "translation", "model": {"normalised": "inner"}},
}
NEW_SPELLING = {"optimiser": "optimizer", "penalised": "penalized", "normalised": "normalized"}


def test_shipped_weights_have_the_old_key_and_load() -> None:
    stored = json.loads(read_metadata(find_weights("synthetic13-cen"))["config"])
    assert "penalised" in stored["exchange"]
    assert cen_model.load("synthetic13-cen").config.exchange.penalized == stored["exchange"]["penalised"]


@pytest.mark.parametrize("old", OLD_SECTIONS)
def test_an_old_key_in_a_file_is_refused_with_its_new_spelling(tmp_path: Path, old: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(OLD_SECTIONS[old]))
    with pytest.raises(ValueError, match=rf"mine\.yaml: the key '{old}' is spelled '{NEW_SPELLING[old]}' now"):
        parse(["--config", str(file)])


@pytest.mark.parametrize(
    ("old", "override"),
    [
        ("optimiser", "optimiser.batch=2"),
        ("optimiser", "--optimiser.batch=2"),
        ("penalised", "model.exchange.penalised=all"),
        ("penalised", "model.exchange={penalised: all, scope: own}"),
        ("normalised", "model.normalised=inner"),
    ],
)
def test_an_old_key_in_an_override_is_refused_with_its_new_spelling(old: str, override: str) -> None:
    with pytest.raises(ValueError, match=rf"the key '{old}' is spelled '{NEW_SPELLING[old]}' now"):
        parse([override])


def test_an_old_configuration_is_the_same_run() -> None:
    before = {"task": "segmentation", "optimiser": {"batch": 2}, "model": {"exchange": {"penalised": "all"}}}
    now = {"task": "segmentation", "optimizer": {"batch": 2}, "model": {"exchange": {"penalized": "all"}}}
    assert changes(before, now) == {}
    assert list(changes(before, {**now, "optimizer": {"batch": 3}})) == ["optimizer.batch"]


def test_an_old_packed_dataset_keeps_its_colors(tmp_path: Path) -> None:
    described = {
        "version": 1,
        "classes": ["floor"],
        "colours": [[1, 2, 3]],
        "modalities": [],
        "frames": {"train": []},
        "intrinsics": None,
    }
    file = tmp_path / "old.packed.safetensors"
    save_file({}, file, {"packed_dataset": json.dumps(described)})
    with safe_open(file, "np") as stored:
        assert "colours" in stored.metadata()["packed_dataset"]
    assert Packed(file, "train").labels.colors == ((1, 2, 3),)
