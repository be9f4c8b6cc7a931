# SPDX-License-Identifier: Apache-2.0
"""Experiments: order, time budget, going on, and a table that says what the runs say."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict

import pytest
import yaml

from cen_model.cli.experiments import compare
from cen_model.experiments.experiment_table import markdown
from cen_model.experiments.runner import Experiment, train
from cen_model.training.run_config import parse, plain
from helpers.paths import REPOSITORY

TINY = [
    *("model.encoder_width=0.125", "model.decoder_width=8", "optimizer.batch=4", "hardware.precision=32-true"),
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


def test_a_run_that_fails_costs_itself_and_finished_ones_are_not_repeated(tmp_path, scene_cache, capsys):
    config = described(tmp_path / "experiment.yaml", rows={"wrong": ["model.encoder=resnet999"], "cen": []}, seeds=[3])
    with pytest.raises(ValueError, match="wrong-3 did not end"):
        compare(config, output=tmp_path / "runs")
    printed = capsys.readouterr().out
    failed, following = (tmp_path / "runs" / name for name in ("wrong-3", "cen-3"))
    assert printed.index(f"failed: see {failed}") < printed.index(f"training {following}")
    assert "resnet999" in (tmp_path / "runs" / "wrong-3" / "log.txt").read_text()
    table = json.loads((tmp_path / "runs" / "table.json").read_text())
    assert {row: len(results) for row, results in table.items()} == {"wrong": 0, "cen": 1}
    assert table["cen"][0]["seed"] == 3 and table["cen"][0]["steps"] == 2
    lines = (tmp_path / "runs" / "table.md").read_text().splitlines()
    counts = {line.split()[1]: line.split(" | ")[-2] for line in lines if line.startswith(("| cen", "| wrong"))}
    assert counts == {"wrong": "0 of 1", "cen": "3 (1 of 1)"}
    (tmp_path / "runs" / "cen-3" / "log.txt").unlink()
    compare(described(config, rows={"cen": []}, seeds=[3]), output=tmp_path / "runs")
    assert not (tmp_path / "runs" / "cen-3" / "log.txt").exists()
    with pytest.raises(ValueError, match=r"exchange\.penalty was .*, is 0\.7; repeat its overrides"):
        compare(described(config, rows={"cen": ["exchange.penalty=0.7"]}, seeds=[3]), output=tmp_path / "runs")


def started(code, tmp_path, until, **options):
    return train([sys.executable, "-c", code], tmp_path / "log.txt", until, **options)


def test_a_run_out_of_time_is_asked_to_save_and_else_killed(tmp_path):
    obeys = (
        "import signal, sys, time\nsignal.signal(signal.SIGINT, lambda *_: sys.exit(130))\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    begun = time.monotonic()
    assert started(obeys, tmp_path, begun + 2) == "stopped"
    assert started(obeys.replace("sys.exit(130)", "None"), tmp_path, time.monotonic() + 2, patience=0.5) == "killed"
    assert time.monotonic() - begun < 20
    assert started("print('done')", tmp_path, time.monotonic() + 30) == "finished"
    assert started("raise SystemExit(3)", tmp_path, time.monotonic() + 30) == "failed"
    assert (tmp_path / "log.txt").read_text().split() == ["ready", "ready", "done"]


def test_an_interrupted_experiment_leaves_no_run_behind(tmp_path):
    config = described(tmp_path / "e.yaml", overrides=[*TINY, "schedule.epochs=2000"])
    command = [sys.executable, "-m", "cen_model.cli", "experiments", str(config), "--output", str(tmp_path / "runs")]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.DEVNULL)
    state = tmp_path / "runs" / "cen-0" / "last.state.pt"
    try:
        while not state.exists():
            assert process.poll() is None, "it ended before it saved"
            time.sleep(0.1)
        process.terminate()
        assert process.wait(600) == 130
        assert "the same command continues" in (state.parent / "log.txt").read_text()
    finally:  # not killed: that would leave the run behind
        process.terminate()
        process.wait(600)
    assert not (tmp_path / "runs" / "rgb-0").exists()


def test_without_time_nothing_is_begun(tmp_path, capsys):
    compare(described(tmp_path / "e.yaml"), minutes=0, output=tmp_path / "runs")
    assert "the same command goes on" in capsys.readouterr().out
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
        ({"base": None}, "base: expected a training configuration's file, got None"),
        ({"overrides": {"schedule.epochs": 3}}, r"overrides: expected overrides such as .* got {'schedule.epochs': 3}"),
        ({"rows": {"cen": [3]}}, r"rows: cen: expected overrides such as \[schedule.epochs=3\], got \[3\]"),
        ({"seeds": "many"}, r"seeds: expected integers from 0, such as \[0, 1, 2\], got 'many'"),
        ({"seeds": [0, -1]}, r"seeds: expected integers from 0, .* got \[0, -1\]"),
        ({"seeds": [True]}, r"seeds: expected integers from 0, .* got \[True\]"),
        ({"seeds": []}, r"seeds: expected integers from 0, .* got \[\]"),
    ],
)
def test_mistakes_are_named(tmp_path, change, message):
    with pytest.raises((ValueError, OSError), match=message):
        Experiment.read(described(tmp_path / "e.yaml", **change))


def test_what_stands_alone_needs_no_brackets(tmp_path):
    alone = {"overrides": "schedule.epochs=3", "seeds": 3, "rows": {"cen": "model.exchange=null", "plain": None}}
    experiment = Experiment.read(described(tmp_path / "e.yaml", **alone))
    assert experiment.overrides == ("schedule.epochs=3",) and experiment.seeds == (3,)
    assert experiment.rows == {"cen": ("model.exchange=null",), "plain": ()}


def result(seed, scores, base="nyudv2-small.yaml", seconds=120, overrides=()):
    config = parse(["--config", str(REPOSITORY / "config" / "train" / base), *overrides])
    return {
        **{"scores": scores, "exchanged": 0.25, "parameters": 1_234_567, "seconds": seconds, "frames": 9},
        **{"steps": 7, "device": "CPU", "commit": "abc", "seed": seed, "config": plain(asdict(config))},
    }


def segmented(iou):
    ensemble = {"mean_iou": iou, "pixel_accuracy": 2 * iou, "iou": [0] * 13}
    return {"rgb": {"mean_iou": iou / 2}, "ensemble": ensemble}


def cells(text, row):
    line = next(line for line in text.splitlines() if line.startswith(f"| {row} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_is_of_means_and_deviations():
    ious = (0.2, 0.3, 0.25)
    rows = {"cen": [result(seed, segmented(iou)) for seed, iou in enumerate(ious)], "later": []}
    alone = {"depth": {"mean_iou": 0.5}, "ensemble": {"mean_iou": 0.5, "pixel_accuracy": None, "iou": [0] * 13}}
    text = markdown({**rows, "depth": [result(2, alone)]}, 4)
    mean, deviation = 100 * statistics.mean(ious), 100 * statistics.stdev(ious)
    halves = [100 * iou / 2 for iou in ious]
    assert cells(text, "network")[1:4] == ["mIoU rgb", "mIoU depth", "mIoU ensemble"]
    assert cells(text, "cen") == [
        "cen",
        f"{statistics.mean(halves):.1f} ± {statistics.stdev(halves):.1f}",
        "-",
        f"{mean:.1f} ± {deviation:.1f}",
        f"{2 * mean:.1f} ± {2 * deviation:.1f}",
        "25 %",
        "1.23 M",
        "0, 1, 2 (3 of 4)",
        "2 min",
    ]
    assert cells(text, "depth")[1:5] == ["-", "50.0", "50.0", "-"]
    assert cells(text, "later") == ["later", *["-"] * 6, "0 of 4", "-"]
    for stated in ("13 classes", "96×128", "10 epochs, 7 steps of 8", "λ 5e-05, θ 0.02, γ from 0.1", "commit abc"):
        assert stated in text
    assert "Trained differently" not in text
    assert "light_refinenet (width 32), from random weights" in text


def test_the_table_leaves_out_a_width_that_nobody_chose():
    text = markdown({"cen": [result(0, segmented(0.2), "nyudv2.yaml")]}, 1)
    assert "resnet101 (width × 1) and refinenet, from imagenet weights" in text


def test_the_table_says_which_runs_were_trained_differently():
    other = result(1, segmented(0.3), overrides=["exchange.penalty=0.5", "ema=0.9", "data.root=elsewhere"])
    alike = [{**other, "seed": seed, "commit": "def"} for seed in (1, 2)]
    text = markdown({"a": [result(0, segmented(0.2)), other], "b": alike}, 2)
    lines = [line for line in text.splitlines() if line.startswith("Trained differently")]
    names = ("a, seed 1", "b, seeds 1, 2")
    assert lines == [f"Trained differently: {name}: exchange.penalty 0.5, ema 0.9." for name in names]
    assert "commits abc, def" in text


def test_the_table_of_translation_is_of_differences():
    scores = {name: {"mae": value, "mse": 0.1} for name, value in (("shade", 0.4), ("ensemble", 0.31))}
    text = markdown({"cen": [result(0, scores, "translation.yaml")]}, 1)
    assert cells(text, "cen")[1:3] == ["0.400", "0.310"]
    assert cells(text, "network")[1:3] == ["MAE shade", "MAE ensemble"] and "shade + texture → rgb" in text


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "config" / "experiments").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_row_of_the_shipped_experiments_is_a_configuration(path, tmp_path):
    experiment = Experiment.read(path)
    for row in experiment.rows:
        arguments = experiment.arguments(row, 0, tmp_path, ["data.root=somewhere"])
        config = parse(arguments)
        assert config.seed == 0
        if config.task == "segmentation" and config.data.dataset == "packed":
            assert config.model.input_height <= 240, "frames are packed at 240×320, which is what it is trained on"
