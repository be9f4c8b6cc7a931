# SPDX-License-Identifier: Apache-2.0
"""Networks: the paper's parameter counts, their outputs, and what is refused."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F

from cen_model.config import ExchangeConfig, FusionConfig, SegmentationConfig
from cen_model.models import DECODERS, build
from cen_model.nn.conditional import ConditionalNorm
from cen_model.nn.exchange import exchange_norms
from cen_model.nn.modal import PrivateNorm

CLASSES_40 = tuple(str(i) for i in range(40))
SMALL = {"encoder": "resnet18", "encoder_width": 0.25, "decoder_width": 16}


# Table 2, in millions: parameters in total in the commonly-used setting and in the paper's own, and used for fusion.
TABLE_2 = {
    "concat-early": (120.1, 118.8, 0.6),
    "concat-middle": (147.7, 120.3, 2.1),
    "concat-late": (169.0, 126.6, 8.4),
    "concat-all": (171.7, 129.4, 11.2),
    "align-early": (238.8, 120.8, 2.6),
    "align-middle": (246.7, 128.7, 10.5),
    "align-late": (278.1, 160.1, 41.9),
    "align-all": (291.9, 173.9, 55.7),
    "attention-early": (124.9, 123.6, 5.4),
    "attention-middle": (166.9, 139.4, 21.2),
    "attention-late": (245.5, 203.2, 84.9),
    "attention-all": (272.3, 231.0, 112.8),
}
TOTALS = {
    **{"rgb": 118.1, "depth": 118.1, "cen": 118.2},
    **{name: ours for name, (_, ours, _) in TABLE_2.items()},
    **{f"{name}-common": common for name, (common, _, _) in TABLE_2.items() if name != "attention-all"},
}


def meta(name):
    with torch.device("meta"):
        return build(name)


@pytest.mark.parametrize("name", TOTALS)
def test_totals_of_table_2(name):
    assert millions(meta(name)) == pytest.approx(TOTALS[name], abs=0.1)


def test_the_total_of_table_2_that_its_own_rows_contradict():
    """All-stage concatenation has the same two encoders and decoder as all-stage self-attention, beside its fusion.

    The paper prints 272.3 where 171.7 - 11.2 + 112.8 is 273.3; three rounded numbers are 0.15 off at most.
    """
    concat, attention = TABLE_2["concat-all"], TABLE_2["attention-all"]
    expected = concat[0] - concat[2] + attention[2]
    assert millions(meta("attention-all-common")) == pytest.approx(expected, abs=0.15)
    assert expected - attention[0] == pytest.approx(1.0)


@pytest.mark.parametrize("name", TABLE_2)
@pytest.mark.parametrize("setting", ["", "-common"])
def test_parameters_used_for_fusion(name, setting):
    assert millions(meta(name + setting).fusion_modules()) == pytest.approx(TABLE_2[name][2], abs=0.1)


def test_channel_exchange_uses_no_parameters():
    assert millions(meta("cen").fusion_modules()) == 0


def millions(module):
    return sum(p.numel() for p in module.parameters()) / 1e6


@pytest.mark.parametrize(("name", "exact"), [("rgb", 118.096), ("cen", 118.202)])
def test_exact_totals_of_the_published_networks(name, exact):
    assert millions(meta(name)) == pytest.approx(exact, abs=5e-4)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("modalities", [("rgb",), ("depth",), ("rgb", "depth")])
def test_outputs(decoder, modalities):
    exchange = ExchangeConfig() if len(modalities) > 1 else None
    config = SegmentationConfig(modalities, exchange=exchange, classes=CLASSES_40, decoder=decoder, **SMALL)
    model = build(config).eval()
    inputs = {"rgb": torch.randn(2, 3, 65, 97), "depth": torch.rand(2, 1, 65, 97)}
    outputs = model(inputs)
    size = (9, 13) if decoder == "pspnet" else (17, 25)
    assert list(outputs) == [*modalities, "ensemble"]
    assert all(output.shape == (2, 40, *size) for output in outputs.values())
    weights = model.ensemble.alpha.softmax(0)
    expected = sum(w * outputs[m] for w, m in zip(weights, modalities, strict=True))
    torch.testing.assert_close(outputs["ensemble"], expected)


def test_the_ensemble_leaves_out_what_is_missing_from_a_sample():
    """Of four samples, the first is whole, the second lacks depth, the third color, the fourth both."""
    model = build(SegmentationConfig(decoder="light_refinenet", **SMALL)).eval()
    model.ensemble.alpha.data = torch.tensor([0.3, 1.5])
    rgb, depth = torch.randn(4, 3, 64, 64), torch.rand(4, 1, 64, 64)
    depth[1] = depth[3] = 0
    rgb[2:] = torch.tensor([0.1, -0.2, 0.4]).view(3, 1, 1)
    with torch.no_grad():
        outputs = model({"rgb": rgb, "depth": depth})
    mean = 0.2315 * outputs["rgb"] + 0.7685 * outputs["depth"]  # 1 / (1 + e^1.2)
    expected = torch.stack([mean[0], outputs["rgb"][1], outputs["depth"][2], mean[3]])
    torch.testing.assert_close(outputs["ensemble"], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("ensemble", "weights"), [("softmax", "ensemble.alpha"), ("concat", "ensemble.reduce.weight")])
def test_by_default_the_ensembles_loss_trains_its_own_weights_alone(ensemble, weights):
    model = build(SegmentationConfig(decoder="light_refinenet", ensemble=ensemble, **SMALL))
    inputs = {"rgb": torch.randn(2, 3, 64, 64), "depth": torch.rand(2, 1, 64, 64)}
    F.cross_entropy(model(inputs)["ensemble"], torch.randint(13, (2, 16, 16))).backward()
    trained = [name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0]
    assert trained == [weights]


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
        ({"encoder": "resnet19"}, "did you mean .*resnet18"),
        ({"decoder": "lite_refinenet"}, "did you mean light_refinenet"),
        ({"modalities": ("rgb", "dept")}, "did you mean depth"),
        ({"encoder_width": 0.5, "encoder_weights": "imagenet"}, "encoder_width=1"),
        ({"encoder": "vgg11_bn", "encoder_width": 1.0, "decoder": "pspnet"}, "encoder='vgg11_bn' and decoder='pspnet'"),
        ({"modalities": ("rgb",)}, r"modalities=\['rgb'\] and exchange.policy='threshold'.*set exchange to null"),
        (
            {"modalities": ("rgb",), "exchange": None, "fusion": FusionConfig()},
            "modalities=.* and fusion.method='concat'",
        ),
        ({"modalities": ("rgb",), "exchange": None, "ensemble": "concat"}, "modalities=.* and ensemble='concat'"),
        ({"norms": "shared"}, "norms='shared' and exchange.policy"),
        ({"exchange": ExchangeConfig("fixed", portion=0.6)}, "exchange.portion=0.6 and exchange.scope='own'"),
        ({"fusion": FusionConfig("cbn")}, "fusion.method='cbn' and exchange.policy"),
        (
            {"exchange": None, "norms": "shared", "fusion": FusionConfig("cbn")},
            "fusion.method='cbn' and norms='shared'",
        ),
        ({"fusion": FusionConfig("align", streams="merged")}, "fusion.method='align' and fusion.streams='merged'"),
        ({"fusion": FusionConfig(streams="merged"), "ensemble": "concat"}, "fusion.streams='merged' and ensemble"),
    ],
)
def test_impossible_configurations_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        build(SegmentationConfig(**{**SMALL, **change}))


def test_an_unknown_network_is_named():
    with pytest.raises(ValueError, match="network 'cen-light19' is unknown; did you mean cen-light18"):
        build("cen-light19")


def test_replacing_the_ensemble_before_the_decoder_runs_it_once():
    """The concat-fusion block of § 4.1 before the decoder: encoders exchange, the decoder sees one stream."""
    seen = []
    model = build(SegmentationConfig(**SMALL, fusion=FusionConfig("concat", "all", "merged")))
    model.decoder.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    outputs = model({"rgb": torch.randn(2, 3, 64, 64), "depth": torch.rand(2, 1, 64, 64)})
    assert seen == [2] and list(outputs) == ["ensemble"]
    assert model.sparsity() > 0 and len(list(exchange_norms(model))) == 16


def test_the_concat_ensemble_is_a_1_by_1_convolution():
    model = build(SegmentationConfig(**SMALL, ensemble="concat"))
    outputs = model({"rgb": torch.randn(2, 3, 64, 64), "depth": torch.rand(2, 1, 64, 64)})
    weight = model.ensemble.reduce.weight
    logits = torch.cat([outputs["rgb"], outputs["depth"]], dim=1)
    torch.testing.assert_close(outputs["ensemble"], F.conv2d(logits, weight))


def test_cbn_modulates_the_norms_after_k_by_k_convolutions():
    model = build(SegmentationConfig(**SMALL, exchange=None, fusion=FusionConfig("cbn")))
    kinds = {type(block.bn1) for stage in model.encoder.stages[1:] for block in stage.children() for block in block}
    assert kinds == {ConditionalNorm}
    assert isinstance(model.encoder.stages[0].bn1, PrivateNorm)


def test_private_convolutions_are_two_networks():
    """Nothing is shared: each stream is the uni-modal network with that stream's weights (Table 1, first row)."""
    torch.manual_seed(0)
    model = build(SegmentationConfig(**SMALL, exchange=None, convs="private")).eval()
    for parameter in model.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    single = build(SegmentationConfig(modalities=("rgb",), exchange=None, **SMALL)).eval()
    own = {
        re.sub(r"\.(convs|norms)\.0\.(\w+)$", r".\2", name): tensor
        for name, tensor in model.state_dict().items()
        if not re.search(r"\.(convs|norms)\.1\.\w+$", name) and name != "ensemble.alpha"
    }
    assert single.load_state_dict(own, strict=False).missing_keys == ["ensemble.alpha"]
    inputs = {"rgb": torch.randn(1, 3, 64, 64), "depth": torch.rand(1, 1, 64, 64)}
    with torch.no_grad():
        torch.testing.assert_close(model(inputs)["rgb"], single(inputs)["rgb"], rtol=1e-4, atol=1e-5)
