# SPDX-License-Identifier: Apache-2.0
"""What `cen weights` tells is what the files hold."""

from __future__ import annotations

import json

import pytest
from safetensors import safe_open

from cen_model import checkpoint
from cen_model.cli.weights import main
from cen_model.config import SegmentationConfig, TranslationConfig
from cen_model.evaluation.metrics import Scores
from cen_model.evaluation.score_tables import metadata
from cen_model.models import build
from cen_model.utils.files import list_weights

CLASSES = ("wall", "floor", "chair")


def test_shipped_weights_are_listed_with_their_own_figures(capsys):
    main([])
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["name", "MB"] and len(lines) == len(list_weights())
    for line, (name, path) in zip(lines, list_weights().items(), strict=True):
        with safe_open(path, framework="pt") as file:
            stored = file.metadata()
        assert line.split()[:2] == [name, f"{path.stat().st_size / 1e6:.1f}"]
        assert f"mean_iou {float(stored['mean_iou.ensemble']):.3f}" in line and line.endswith("yes")


@pytest.mark.parametrize(("name", "path"), list_weights().items())
def test_shipped_weights_have_a_card_with_their_own_figures(name, path, capsys):
    main([name])
    said = capsys.readouterr().out
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    assert said.endswith(card) and card.startswith(f"# {name}\n")
    with safe_open(path, framework="pt") as file:
        stored = file.metadata()
    iou, means = json.loads(stored["class_iou"]), ("mean_iou", "pixel_accuracy")
    rows = [{output: each[key] for output, each in iou.items()} for key in iou["ensemble"]]
    rows += [{output: float(stored[f"{key}.{output}"]) for output in iou} for key in means]
    for row in rows:
        assert f"| {' | '.join(f'{100 * value:.1f}' for value in row.values())} |" in card


def test_a_file_is_described_by_its_metadata(tmp_path, capsys):
    config = SegmentationConfig(classes=CLASSES, encoder="resnet18", encoder_width=0.125, decoder_width=8)
    measured = {"rgb": Scores((0.1, 0.2, 0.3), 0.25, 0.3, 0.5), "ensemble": Scores((0.1, 0.2, 0.3), 0.125, 0.3, 0.75)}
    text = {
        **metadata(measured, CLASSES, "nyudv2: 9 test frames"),
        "training": json.dumps({"data": {"dataset": "nyudv2"}}),
    }
    file = tmp_path / "mine.safetensors"
    checkpoint.save(file, build(config), text)
    main([str(file)])
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert lines[0].startswith(f"{file}: ") and lines[0].endswith("trained on nyudv2")
    rows = {
        line.split()[0]: line.split()[1:] for line in lines if line.startswith(("output", "rgb", "depth", "ensemble"))
    }
    assert rows == {
        "output": ["mean_iou", "pixel_accuracy"],
        "rgb": ["0.2500", "0.5000"],
        "ensemble": ["0.1250", "0.7500"],
    }
    assert "  encoder: resnet18" in lines and "  encoder_width: 0.125" in lines
    assert lines[-1] == "classes: 0 wall, 1 floor, 2 chair"


def test_weights_without_scores_have_none_to_show(tmp_path, capsys):
    file = tmp_path / "imported.safetensors"
    checkpoint.save(file, build(TranslationConfig(filters=4)), {"source": "generator.pkl"})
    main([str(file)])
    said = capsys.readouterr().out
    assert "trained on generator.pkl" in said and "no scores" in said and "classes" not in said


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="synthetic13-cen"):
        main(["nothing"])
    (tmp_path / "text").write_text("no tensors")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        main([str(tmp_path / "text")])
