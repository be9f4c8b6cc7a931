# SPDX-License-Identifier: Apache-2.0
"""The table of networks and its command line, on a registry of two small networks."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import yaml
from rich.console import Console
from torch import nn

from cen_model.classes import NYU40
from cen_model.cli.models import Row, as_yaml, main, markdown, rows, table
from cen_model.config import ExchangeConfig, FusionConfig, SegmentationConfig, TranslationConfig, from_dict
from cen_model.nn.complexity import Cost
from cen_model.registry import REGISTRY
from helpers.paths import CONFIG, REPOSITORY

TOY = {
    "cen-toy": SegmentationConfig(exchange=ExchangeConfig(scope="all")),
    "unet-toy": TranslationConfig(modalities=("rgb", "depth"), exchange=None, fusion=FusionConfig("average", "late")),
}
BIG = Row("big", (480, 640), "download", Cost(118_201_578, 11_200_000, 1_235_700_940_800, 410_419_200))
SMALL = Row("small", (256, 256), "–", Cost(9_500, 0, 40_000_000, 60_000))


class Toy(nn.Module):
    """A convolution of every image; the translation network has a fusion of 6 parameters as well."""

    def __init__(self, config):
        super().__init__()
        self.convs = nn.ModuleDict({"rgb": nn.Conv2d(3, 10, 1), "depth": nn.Conv2d(1, 10, 1)})
        self.fusion = nn.Linear(2, 2) if config.fusion else None

    def fusion_modules(self):
        return nn.ModuleList([self.fusion] if self.fusion else [])

    def forward(self, inputs):
        assert all(image.is_meta for image in inputs.values())
        return {name: conv(inputs[name]) for name, conv in self.convs.items()}


def test_the_document_lists_every_network():
    document = (REPOSITORY / "docs" / "models.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| ([\w-]+) \| \d", document, re.MULTILINE) == list(REGISTRY)


def test_rows_measure_each_network_at_its_size():
    """1×1 convolutions of 3 and 1 to 10 channels; inputs and outputs live together, 4 bytes a number."""
    segmentation, translation = rows(TOY, Toy, TOY, (12, 16))
    pixels = 12 * 16
    assert segmentation == Row("cen-toy", (12, 16), "download", Cost(60, 0, 2 * 40 * pixels, 4 * 24 * pixels))
    pixels = 256 * 256
    assert translation == Row("unet-toy", (256, 256), "–", Cost(66, 6, 2 * 40 * pixels, 4 * 24 * pixels))


def test_markdown():
    expected = """\
| name | input | ImageNet weights | parameters (M) | used for fusion (M) | GFLOP | peak activation memory (MB) |
| --- | --- | --- | ---: | ---: | ---: | ---: |
| big | 480×640 | download | 118.20 | 11.20 | 1235.7 | 410.4 |
| small | 256×256 | – | 0.01 | 0.00 | 0.0 | 0.1 |"""
    assert markdown([BIG, SMALL]) == expected


def test_the_terminals_table_holds_the_same_texts():
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table([BIG, SMALL]))
    for text in [cell.strip(" -:") for line in markdown([BIG, SMALL]).splitlines() for cell in line.split("|")]:
        assert text in capture.get()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], [("cen-toy", "480×640"), ("unet-toy", "256×256")]),
        (["--size", "32x48"], [("cen-toy", "32×48"), ("unet-toy", "256×256")]),
        (["unet-toy", "cen-toy"], [("unet-toy", "256×256"), ("cen-toy", "480×640")]),
        (["cen-toy"], [("cen-toy", "480×640")]),
    ],
)
def test_command_line(capsys, arguments, expected):
    main([*arguments, "--markdown"], TOY, Toy)
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [tuple(cell.strip() for cell in line.split("|")[1:3]) for line in lines] == expected
    main(arguments, TOY, Toy)
    printed = capsys.readouterr().out
    assert [name for name in TOY if name in printed] == [name for name in TOY if name in dict(expected)]


@pytest.mark.parametrize("name", TOY)
def test_a_shown_configuration_is_read_back(capsys, name):
    main([name, "--show"], TOY, Toy)
    (key, values), *others = yaml.safe_load(capsys.readouterr().out).items()
    assert (key, others) == ("model", [])
    assert not {"task", "classes"} & set(values)
    assert from_dict({"task": TOY[name].task, **values}) == TOY[name]


def test_a_shown_configuration_can_be_trained(capsys, tmp_path):
    from cen_model.training.run_config import parse

    main(["cen-toy", "--show"], TOY, Toy)
    file = tmp_path / "train.yaml"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    assert parse(["--config", str(file)]).model == TOY["cen-toy"]
    behind = parse(["--config", str(CONFIG / "train" / "synthetic.yaml"), "--config", str(file)]).model
    assert behind == replace(TOY["cen-toy"], dropout=0.0, input_height=240)


@pytest.mark.parametrize("base", ["synthetic", "nyudv2", "translation"])
def test_behind_a_training_configuration_every_network_is_itself_and_trained_as_that_says(base):
    trained = yaml.safe_load((CONFIG / "train" / f"{base}.yaml").read_text(encoding="utf-8"))
    task, model = trained.get("task", "segmentation"), trained["model"]
    wanted = {key: model[key] for key in ("input_height", "dropout", "encoder_weights") if key in model}
    assert base == "translation" or wanted["input_height"]
    for name, config in REGISTRY.items():
        if config.task == task:
            merged = {"task": task, **model, **yaml.safe_load(as_yaml(config))["model"]}
            classes = {"classes": NYU40} if task == "segmentation" else {}
            assert from_dict(merged | classes) == replace(config, **wanted), name


def test_a_wish_of_the_networks_own_is_shown():
    config = SegmentationConfig(dropout=0.3, input_height=96)
    shown = yaml.safe_load(as_yaml(config))["model"]
    assert (shown["dropout"], shown["input_height"]) == (0.3, 96) and "encoder_weights" not in shown


@pytest.mark.parametrize("option", ["--markdown", "--show"])
def test_an_unknown_name_brings_the_nearest(option):
    with pytest.raises(ValueError, match="'cen-toi' is unknown; did you mean cen-toy"):
        main(["cen-toi", option], TOY, Toy)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "480"], "such as 480x640, got '480'"),
        (["--size", "0x640"], "such as 480x640, got '0x640'"),
        (["--show"], "--show takes one name, got 0"),
        (["cen-toy", "unet-toy", "--show"], "--show takes one name, got 2"),
    ],
)
def test_wrong_arguments_are_refused(capsys, arguments, message):
    with pytest.raises(SystemExit):
        main(arguments, TOY, Toy)
    assert message in capsys.readouterr().err
