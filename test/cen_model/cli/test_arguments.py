# SPDX-License-Identifier: Apache-2.0
"""Command lines as people write them."""

from __future__ import annotations

import argparse
from pathlib import Path

import jsonargparse
import pytest

from cen_model.cli.arguments import as_parsed, height_width, with_config
from cen_model.cli.evaluate import parse
from cen_model.config import ExchangeConfig
from cen_model.evaluation.inference_modes import InferenceConfig
from cen_model.training.run_config import parse as parse_training
from cen_model.training.run_config import parser_for

HOME = str(Path.home())


@pytest.fixture
def typed():
    """A parser of jsonargparse, of a command with a positional argument."""
    parser = jsonargparse.ArgumentParser(prog="cen typed")
    parser.add_argument("weights", type=str)
    parser.add_argument("--drop", type=tuple[str, ...], default=())
    parser.add_argument("--size", type=tuple[int, int] | None, default=None)
    parser.add_argument("--train_only", type=bool, default=False)
    parser.add_argument("--root", type=Path | None, default=None)
    parser.add_argument("--label_set", type=str, default="")
    parser.add_argument("--exchange", type=ExchangeConfig | None, default=None)
    return parser


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("--drop depth", "--drop [depth]"),
        ("--drop=rgb,depth", "--drop=[rgb,depth]"),
        ("--drop [rgb,depth] --drop=[depth]", "--drop [rgb,depth] --drop=[depth]"),
        ("--drop depth rgb,depth", "--drop [depth] rgb,depth"),
        ("--size 480x640", "--size [480,640]"),
        ("--size=0x10", "--size=[0,10]"),
        ("--size null", "--size null"),
        ("480x640 --root a-b,c --label-set=480x640", "480x640 --root a-b,c --label_set=480x640"),
        ("root=a-b/c=d --root e=f", "--root=a-b/c=d --root e=f"),
        ("folder/root=1 other=2", "folder/root=1 other=2"),
        ("--train-only --size=1x2 3x4", "--train_only=true --size=[1,2] 3x4"),
        ("--train_only weights", "--train_only=true weights"),
        (
            "--train_only no --train-only=YES train-only=false",
            "--train_only=false --train_only=true --train_only=false",
        ),
        ("--exchange.scope all exchange.scope=all", "--exchange.scope all --exchange.scope=all"),
        ("--lab x", "--label_set x"),
        ("~/a --root ~/b root=~/c --exchange ~", f"{HOME}/a --root {HOME}/b --root={HOME}/c --exchange ~"),
        ("-- --root x", "-- --root x"),
    ],
)
def test_what_jsonargparse_reads(typed, written, read):
    assert as_parsed(written.split(), typed) == read.split()


@pytest.fixture
def plain():
    """A parser of argparse."""
    parser = argparse.ArgumentParser(prog="cen plain")
    parser.add_argument("weights", nargs="?")
    parser.add_argument("--input-size", type=height_width)
    parser.add_argument("--size", type=height_width, nargs="+")
    parser.add_argument("--modalities", nargs="+")
    parser.add_argument("--build-only", action="store_true")
    return parser


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("--input_size [48,64]", {"input_size": (48, 64)}),
        ("input_size=48x64", {"input_size": (48, 64)}),
        ("--size 48x64 96,128", {"size": [(48, 64), (96, 128)]}),
        ("--size=48x64,96x128", {"size": [(48, 64), (96, 128)]}),
        ("--modalities shade texture", {"modalities": ["shade", "texture"]}),
        ("--modalities [shade,texture]", {"modalities": ["shade", "texture"]}),
        ("modalities=shade,texture", {"modalities": ["shade", "texture"]}),
        ("--build_only weights", {"build_only": True, "weights": "weights"}),
        ("--build-only true weights", {"build_only": True, "weights": "weights"}),
        ("--build-only=no ~/weights", {"build_only": False, "weights": f"{HOME}/weights"}),
        ("--build", {"build_only": True}),
    ],
)
def test_what_argparse_reads(plain, written, expected):
    assert expected.items() <= vars(plain.parse_args(as_parsed(written.split(), plain))).items()


@pytest.mark.parametrize(("option", "near"), [("--rot", "--root"), ("--lable-set=x", "--label_set")])
def test_a_mistyped_option_brings_the_nearest(typed, capsys, option, near):
    with pytest.raises(SystemExit) as ended:
        as_parsed([option], typed)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("cen typed: option ") and near in said and said.count("\n") == 1


def test_evaluation_is_asked_for_without_brackets():
    line = "weights --drop rgb,hha --scales 0.5,1 --window 480x640 --stride 100,200 --evaluation-batch 2 --root /a,b-c"
    options = parse(line.split())
    assert options.drop == ("rgb", "hha") and str(options.data.root) == "/a,b-c"
    assert options.inference == InferenceConfig(scales=(0.5, 1.0), window=(480, 640), stride=(100, 200))
    assert options.data.evaluation_batch == 2


def test_training_takes_the_same_dialect(capsys):
    line = ["config/train/synthetic.yaml", "data.crop=96x128", "--dry-run", "hardware.recompute=yes", "data.root=~/x"]
    line = with_config([*line, "model.exchange.scope=all"])
    config = parse_training(as_parsed(line, parser_for(line)))
    assert config == parse_training([
        *("--config", "config/train/synthetic.yaml", "--data.crop=[96,128]", "--dry_run=true"),
        *("--hardware.recompute=true", f"--data.root={HOME}/x", "--model.exchange.scope=all"),
    ])  # fmt: skip
    with pytest.raises(SystemExit):
        as_parsed(["schedule.epoks=3"], parser_for([]))
    assert "did you mean --schedule.epochs" in capsys.readouterr().err
