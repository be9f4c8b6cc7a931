# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: they come back as they were written, or say what is wrong."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

import cen_model
from cen_model import checkpoint
from cen_model.cli.import_published import main
from cen_model.config import ExchangeConfig, SegmentationConfig, from_dict
from cen_model.models import build

CONFIG = SegmentationConfig(
    encoder="resnet18",
    encoder_width=0.25,
    decoder="light_refinenet",
    decoder_width=16,
    exchange=ExchangeConfig(scope="all", threshold=0.1),
)
INPUTS = {"rgb": torch.randn(1, 3, 64, 64), "depth": torch.rand(1, 1, 64, 64)}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build(CONFIG).eval()


def test_a_checkpoint_comes_back_with_its_configuration(tmp_path, model):
    checkpoint.save(tmp_path / "a.safetensors", model, {"miou": "0.5"})
    loaded = cen_model.load(tmp_path / "a.safetensors")
    assert loaded.config == CONFIG and not loaded.training
    assert checkpoint.read_metadata(tmp_path / "a.safetensors")["miou"] == "0.5"
    for name, output in loaded(INPUTS).items():
        assert torch.equal(output, model(INPUTS)[name])


def test_a_configuration_of_before_a_key_was_there_has_its_default():
    values = CONFIG.to_dict()
    assert values.pop("supervision") == "separate"
    assert from_dict(values) == CONFIG


def test_half_precision_storage_halves_the_file_and_keeps_the_norms(tmp_path, model):
    checkpoint.save(tmp_path / "full.safetensors", model)
    checkpoint.save(tmp_path / "half.safetensors", model, half=True)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.65 * sizes[1]
    loaded = cen_model.load(tmp_path / "half.safetensors")
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    assert loaded.exchanged_share() == model.exchanged_share()
    torch.testing.assert_close(loaded(INPUTS)["ensemble"], model(INPUTS)["ensemble"], rtol=0.05, atol=0.01)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, model):
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, model)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        checkpoint.save(path, model, {"miou": 0.5})  # safetensors takes text only
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(FileNotFoundError, match="no-such-weights"):
        cen_model.load("no-such-weights")


def test_a_truncated_file_is_named(tmp_path, model):
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, model)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"a\.safetensors.*truncated"):
        cen_model.load(path)


def test_a_foreign_file_is_refused(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match="without a cen_model configuration"):
        cen_model.load(tmp_path / "foreign.safetensors")


def test_a_key_of_another_version_is_named(tmp_path, model):
    config = json.dumps({**CONFIG.to_dict(), "color": "red"})
    save_file(model.state_dict(), tmp_path / "a.safetensors", {"config": config})
    with pytest.raises(ValueError, match=r"a\.safetensors: .*the key 'color' is unknown"):
        cen_model.load(tmp_path / "a.safetensors")


def test_a_file_that_is_no_published_checkpoint_is_refused(tmp_path):
    torch.save({"segmenter": {"module.fc.weight": torch.zeros(1)}}, tmp_path / "a.pth.tar")
    with pytest.raises(ValueError, match="not a published CEN"):
        checkpoint.import_published(tmp_path / "a.pth.tar", tmp_path / "b.safetensors")
    assert not (tmp_path / "b.safetensors").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"segmenter": {"module.alpha": torch.ones(2)}}, "--modalities is for translation"),
        ({"alpha": torch.ones(2)}, r"expected .* under the key \"segmenter\", or .* a translation generator"),
        ([torch.ones(2)], "a dict, found a list"),
        (None, "not a PyTorch checkpoint"),
    ],
)
def test_what_is_no_translation_generator_is_refused_in_one_line(tmp_path, content, message):
    """A segmentation network, another one, the scaling factors that the published training also writes, no file at all
    of PyTorch."""
    source = tmp_path / "in.pkl"
    source.write_text("") if content is None else torch.save(content, source)
    with pytest.raises((ValueError, OSError), match=message):
        main([str(source), str(tmp_path / "out"), "--modalities", "shade", "texture"])
    assert not (tmp_path / "out").exists()
