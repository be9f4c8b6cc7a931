# SPDX-License-Identifier: Apache-2.0
"""Command lines as people write them."""

from __future__ import annotations

import pytest

from cen_model.cli.arguments import as_jsonargparse, tuple_fields
from cen_model.data.data_config import DataConfig
from cen_model.evaluation.inference_modes import InferenceConfig
from cen_model.evaluation.options import parse


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("--drop depth", "--drop [depth]"),
        ("--drop=rgb,depth", "--drop=[rgb,depth]"),
        ("--drop [rgb,depth] --drop=[depth]", "--drop [rgb,depth] --drop=[depth]"),
        ("--size 480x640", "--size [480,640]"),
        ("--synthetic.size=0x10", "--synthetic.size=[0,10]"),
        ("--size null", "--size null"),
        ("--train-only true --synthetic.test-scenes=2", "--train_only true --synthetic.test_scenes=2"),
        ("480x640 --root a-b,c --label-set=480x640", "480x640 --root a-b,c --label_set=480x640"),
        ("--drop depth rgb,depth", "--drop [depth] rgb,depth"),
        ("--fid --size=1x2 3x4", "--fid --size=[1,2] 3x4"),
    ],
)
def test_names_and_lists(written, read):
    assert as_jsonargparse(written.split(), {"drop", "size"}) == read.split()


def test_fields_that_are_lists():
    assert tuple_fields(DataConfig, InferenceConfig) == {"size", "crop", "scale", "scales", "window", "stride"}


def test_evaluation_is_asked_for_without_brackets():
    line = "weights --drop rgb,hha --scales 0.5,1 --window 480x640 --stride 100,200 --evaluation-batch 2 --root /a,b-c"
    options = parse(line.split())
    assert options.drop == ("rgb", "hha") and str(options.data.root) == "/a,b-c"
    assert options.inference == InferenceConfig(scales=(0.5, 1.0), window=(480, 640), stride=(100, 200))
    assert options.data.evaluation_batch == 2
