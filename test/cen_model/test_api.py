# SPDX-License-Identifier: Apache-2.0
"""The public API: its names are lazy, complete, and what their modules define."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest

import cen_model
from helpers.paths import REPOSITORY

NAMES = ("load", "build", "Predictor", "Deployment", "Prediction", "Translator", "list_networks", "list_weights")


def run(code: str) -> str:
    """Run code in a fresh process; return what the process printed."""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", [*NAMES, "__version__"])
def test_a_name_is_listed_before_it_is_imported(name: str) -> None:
    assert run(f"import cen_model; print({name!r} in dir(cen_model), {name!r} in vars(cen_model))") == "True False\n"


def test_a_star_import_gives_all_names() -> None:
    assert run(f"from cen_model import *; print(all(name in globals() for name in {NAMES!r}))") == "True\n"


def test_listing_weights_and_networks_needs_no_pytorch() -> None:
    listed = "*cen_model.list_weights(), 'cen' in cen_model.list_networks()"
    code = f"import sys, cen_model; print({listed}, 'torch' in sys.modules)"
    assert run(code) == "synthetic13-cen True False\n"


def test_every_listed_network_has_a_name_that_builds() -> None:
    assert {"cen", "cen-light18", "unet-2"} <= set(cen_model.list_networks())
    network = cen_model.build("cen-light18")
    assert network.config.modalities == ("rgb", "depth")


def test_weights_label_a_pair_of_images() -> None:
    (name,) = cen_model.list_weights()
    predictor = cen_model.Predictor.load(name, deployment=cen_model.Deployment("none"))
    prediction = predictor.predict(np.zeros((48, 64, 3), np.uint8), np.full((48, 64), 1500, np.uint16))
    assert isinstance(prediction, cen_model.Prediction)
    assert prediction.labels.shape == (48, 64)


def test_the_version_is_the_installed_one() -> None:
    assert cen_model.__version__ == version("cen_ros")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        cen_model.lod  # noqa: B018
