# SPDX-License-Identifier: Apache-2.0
"""Experiments: order, time budget, going on, and a table that says what the runs say."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from cen_model.experiment_table import markdown
from cen_model.experiments import Experiment
from cen_model.train_config import parse, plain

REPOSITORY = Path(__file__).parents[1]
TINY = [
    *("model.encoder_width=0.125", "model.decoder_width=8", "optimiser.batch=4", "hardware.precision=32-true"),
    *("data.synthetic={size: [32, 48], train_scenes: 4, validation_scenes: 1, test_scenes: 2}", "data.crop=[32, 32]"),
    *("schedule.epochs=2", "schedule.warmup_steps=0"),
]


def described(path, **changes):
    base = {
        "base": str(REPOSITORY / "config" / "train" / "synthetic.yaml"),
        "overrides": TINY,
        "seeds": [0, 1],
        "rows": {"cen": [], "rgb": ["model.modalities=[rgb]", "model.exchange=null"]},
    }
    path.write_text(yaml.safe_dump({**base, **changes}, sort_keys=False))
    return path


def run(config, output, *options, cache):
    command = [sys.executable, "-m", "cen_model.experiments", str(config), "--output", str(output), *options]
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


def test_a_run_that_fails_costs_itself_and_finished_ones_are_not_repeated(tmp_path):
    config = described(tmp_path / "experiment.yaml", rows={"wrong": ["model.encoder=resnet999"], "cen": []}, seeds=[3])
    done = run(config, tmp_path / "runs", cache=tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("wrong, seed 3 failed") < done.stdout.index("cen, seed 3")
    assert "resnet999" in (tmp_path / "runs" / "wrong-3" / "log.txt").read_text()
    table = json.loads((tmp_path / "runs" / "table.json").read_text())
    assert {row: len(results) for row, results in table.items()} == {"wrong": 0, "cen": 1}
    assert table["cen"][0]["seed"] == 3 and table["cen"][0]["steps"] == 2
    lines = (tmp_path / "runs" / "table.md").read_text().splitlines()
    counts = {line.split()[1]: line.split(" | ")[-2] for line in lines if line.startswith(("| cen", "| wrong"))}
    assert counts == {"wrong": "0 of 1", "cen": "1 of 1"}
    (tmp_path / "runs" / "cen-3" / "log.txt").unlink()
    again = run(config, tmp_path / "runs", cache=tmp_path / "cache")
    assert "wrong, seed 3" in again.stdout and not (tmp_path / "runs" / "cen-3" / "log.txt").exists()


def test_without_time_nothing_is_begun(tmp_path):
    done = run(described(tmp_path / "e.yaml"), tmp_path / "runs", "--minutes", "0", cache=tmp_path / "cache")
    assert done.returncode == 0
    assert "the same command goes on" in done.stdout
    assert "0 of 2" in (tmp_path / "runs" / "table.md").read_text()


def test_the_order_is_all_rows_then_the_next_seed(tmp_path):
    experiment = Experiment.read(described(tmp_path / "e.yaml"))
    assert experiment.runs() == [("cen", 0), ("rgb", 0), ("cen", 1), ("rgb", 1)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seads": [1]}, "did you mean seeds"),
        ({"rows": ["cen"]}, "with names and overrides under rows"),
        ({"base": "nowhere.yaml"}, "nowhere.yaml is not there"),
    ],
)
def test_mistakes_are_named(tmp_path, change, message):
    with pytest.raises((ValueError, OSError), match=message):
        Experiment.read(described(tmp_path / "e.yaml", **change))


def test_the_table_is_of_means_and_deviations():
    def result(iou, seconds):
        scores = {
            "ensemble": {"mean_iou": iou, "pixel_accuracy": 2 * iou, "iou": [0] * 13},
            "rgb": {"mean_iou": iou / 2},
        }
        config = parse(["--config", str(REPOSITORY / "config" / "train" / "nyudv2-small.yaml")])

        return {
            **{"scores": scores, "exchanged": 0.25, "parameters": 1_234_567, "seconds": seconds, "frames": 9},
            **{"steps": 7, "device": "CPU", "commit": "abc", "config": plain(asdict(config))},
        }

    ious = (0.2, 0.3, 0.25)
    text = markdown({"cen": [result(iou, 120) for iou in ious], "later": []}, 4)
    line = next(line for line in text.splitlines() if line.startswith("| cen"))
    mean, deviation = 100 * statistics.mean(ious), 100 * statistics.stdev(ious)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    halves = [100 * iou / 2 for iou in ious]
    assert cells == [
        "cen",
        f"{statistics.mean(halves):.1f} ± {statistics.stdev(halves):.1f}",
        "-",
        f"{mean:.1f} ± {deviation:.1f}",
        f"{2 * mean:.1f} ± {2 * deviation:.1f}",
        "25 %",
        "1.23 M",
        "3 of 4",
        "2 min",
    ]
    assert "13 classes" in text and "0 of 4" in text


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "config" / "experiments").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_row_of_the_shipped_experiments_is_a_configuration(path, tmp_path):
    experiment = Experiment.read(path)
    for row in experiment.rows:
        arguments = experiment.command(row, 0, tmp_path, ["data.root=somewhere"])[3:]
        assert parse(arguments).seed == 0
