# SPDX-License-Identifier: Apache-2.0
"""Files that come with the package are found by name."""

from __future__ import annotations

import pytest

from cen_model.utils.files import find_configuration, find_weights, list_weights
from helpers.paths import CONFIG


def test_configurations_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_configuration("config/train/nyudv2.yaml").samefile(CONFIG / "train" / "nyudv2.yaml")
    own = tmp_path / "config" / "train" / "nyudv2.yaml"
    own.parent.mkdir(parents=True)
    own.touch()
    assert find_configuration("config/train/nyudv2.yaml").samefile(own)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_configuration("~/config/train/nyudv2.yaml") == own


@pytest.mark.parametrize("wrong", ["config/train/nothing.yaml", "/config/train/nyudv2.yaml", "config/train"])
def test_what_is_no_configuration_is_named(wrong):
    with pytest.raises(FileNotFoundError, match=f"^{wrong}: no such file here, nor"):
        find_configuration(wrong)


def test_shipped_weights_are_found_by_the_names_that_are_listed(tmp_path):
    shipped = list_weights()
    assert "synthetic13-cen" in shipped
    assert all(find_weights(name) == path and path.is_file() for name, path in shipped.items())
    (tmp_path / "mine.safetensors").touch()
    assert find_weights(tmp_path / "mine.safetensors") == tmp_path / "mine.safetensors"
    with pytest.raises(FileNotFoundError, match=r"'nothing'.*synthetic13-cen"):
        find_weights("nothing")
