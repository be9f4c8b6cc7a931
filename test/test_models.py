# SPDX-License-Identifier: Apache-2.0
"""Networks: the paper's parameter counts, their outputs, and what is refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from cen_model.config import SegmentationConfig
from cen_model.models import DECODERS, build

CLASSES_40 = tuple(str(i) for i in range(40))
SMALL = {"encoder": "resnet18", "encoder_width": 0.25, "decoder_width": 16}


@pytest.mark.parametrize(("modalities", "millions"), [(("rgb",), 118.096), (("rgb", "depth"), 118.202)])
def test_parameter_counts_of_table_2(modalities, millions):
    with torch.device("meta"):
        model = build(SegmentationConfig(modalities=modalities, classes=CLASSES_40))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=5e-4)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("modalities", [("rgb",), ("depth",), ("rgb", "depth")])
def test_outputs(decoder, modalities):
    model = build(SegmentationConfig(modalities=modalities, classes=CLASSES_40, decoder=decoder, **SMALL)).eval()
    inputs = {"rgb": torch.randn(2, 3, 65, 97), "depth": torch.rand(2, 1, 65, 97)}
    outputs = model(inputs)
    assert list(outputs) == [*modalities, "ensemble"]
    assert all(output.shape == (2, 40, 17, 25) for output in outputs.values())
    weights = model.ensemble.alpha.softmax(0)
    expected = sum(w * outputs[m] for w, m in zip(weights, modalities, strict=True))
    torch.testing.assert_close(outputs["ensemble"], expected)


def test_the_ensembles_loss_trains_alpha_alone():
    model = build(SegmentationConfig(decoder="light_refinenet", **SMALL))
    inputs = {"rgb": torch.randn(2, 3, 64, 64), "depth": torch.rand(2, 1, 64, 64)}
    F.cross_entropy(model(inputs)["ensemble"], torch.randint(13, (2, 16, 16))).backward()
    trained = [name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0]
    assert trained == ["ensemble.alpha"]


def test_parameter_groups_hold_every_parameter_once():
    model = build(SegmentationConfig(**SMALL))
    grouped = [id(p) for group in model.parameter_groups().values() for p in group]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())


def test_a_missing_modality_is_named():
    model = build(SegmentationConfig(**SMALL))
    with pytest.raises(ValueError, match="missing depth"):
        model({"rgb": torch.randn(1, 3, 64, 64)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder": "resnet19"}, "resnet18"),
        ({"decoder": "unet"}, "light_refinenet"),
        ({"modalities": ("rgb", "sound")}, "sound"),
        ({"encoder_width": 0.5, "encoder_weights": "imagenet"}, "encoder_width=1"),
    ],
)
def test_impossible_configurations_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        build(SegmentationConfig(**{**SMALL, **change}))
