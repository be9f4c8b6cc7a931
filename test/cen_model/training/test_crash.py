# SPDX-License-Identifier: Apache-2.0
"""Whatever happens to a training run, the same command continues it, and the last good checkpoint stays.

Children are killed at every operation on the files of checkpoints: half written, written, moved into place.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from helpers.paths import REPOSITORY

pytestmark = pytest.mark.usefixtures("scene_cache")
TINY = [
    "--config",
    str(REPOSITORY / "config" / "train" / "synthetic.yaml"),
    "model.encoder_width=0.125",
    "model.decoder_width=8",
    "model.dropout=0.2",
    "data.synthetic.size=[24,32]",
    "data.crop=[24,32]",
    "data.synthetic.train_scenes=4",
    "data.synthetic.validation_scenes=2",
    "data.synthetic.test_scenes=2",
    "optimizer.batch=4",
    "schedule.epochs=2",
    "hardware.precision=32-true",
    "half_weights=false",
    "save_every=1",
]


def runs(*each: tuple[int | str | None, list[str]]) -> list[tuple[int, int, str]]:
    """(exit status, moments passed, text) of trainings in turn."""
    command = [sys.executable, str(REPOSITORY / "test" / "helpers" / "crashing.py"), json.dumps(each)]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0, done.stderr
    return [tuple(each) for each in json.loads(done.stdout.splitlines()[-1])]


def same(left: Path, right: Path) -> None:
    """Two runs ended in the same weights, momentum and scores."""
    for name in ("last.safetensors", "best.safetensors"):
        a, b = load_file(left / name), load_file(right / name)
        assert a.keys() == b.keys()
        for key in a:
            assert torch.equal(a[key], b[key]), (name, key)
    a, b = (torch.load(each / "last.state.pt", weights_only=True) for each in (left, right))
    for part in ("modules", "optimizers", "average", "rng"):
        equal(a[part], b[part], part)
    a, b = (json.loads((each / "results.json").read_text()) for each in (left, right))
    assert a["scores"] == b["scores"]
    assert sorted(p.name for p in (left / "gamma").iterdir()) == sorted(p.name for p in (right / "gamma").iterdir())


def equal(a: object, b: object, where: str) -> None:
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            equal(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (list, tuple)):
        for i, pair in enumerate(zip(a, b, strict=True)):
            equal(*pair, f"{where}.{i}")
    else:
        assert a == b, where


def test_killed_at_any_write_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    """At every seventh write or move of a run, so that each kind of file has its turn."""
    straight, command = tmp_path / "straight", [*TINY, "ema=0.9"]
    [(status, moments, printed)] = runs((None, [*command, f"output={straight}"]))
    assert status == 0, printed
    assert moments > 10
    chosen = range(1, moments + 1, 7)
    trials = []
    for moment in chosen:
        arguments = [*command, f"output={tmp_path / str(moment)}"]
        trials += [(moment, arguments), (None, arguments)]
    done = runs(*trials)
    for moment, killed, continued in zip(chosen, done[::2], done[1::2], strict=True):
        assert killed[0] == -9, (moment, killed)
        assert continued[0] == 0, (moment, continued)
        same(straight, tmp_path / str(moment))
        assert not list((tmp_path / str(moment)).rglob("*.part"))


def test_killed_again_and_again_one_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    straight, killed = [*TINY, f"output={tmp_path / 'straight'}"], [*TINY, f"output={tmp_path / 'killed'}"]
    done = runs((None, straight), *((moment, killed) for moment in (4, 5, 6, 7)), (None, killed))
    assert done[0][0] == done[-1][0] == 0, done[-1]
    same(tmp_path / "straight", tmp_path / "killed")


def test_a_file_that_the_disk_does_not_take_costs_no_checkpoint(tmp_path: Path) -> None:
    output = tmp_path / "run"
    first = [*TINY, "schedule.epochs=1", f"output={output}"]
    longer = [*TINY, "schedule.epochs=3", f"output={output}"]
    assert runs((None, first))[0][0] == 0
    sizes = {p.name: p.stat().st_size for p in output.iterdir() if p.is_file()}
    before = {name: (output / name).read_bytes() for name in ("last.state.pt", "last.safetensors", "best.safetensors")}
    network, whole = sizes["last.safetensors"], sizes["last.state.pt"]
    assert network < whole
    # Where the state alone does not fit, the best so far may have been written.
    for limit, kept in ((network // 2, [*before]), ((network + whole) // 2, ["last.state.pt", "last.safetensors"])):
        [(status, _, printed)] = runs((str(limit), longer))
        assert status == 1, printed
        assert "Traceback" not in printed
        assert "File too large" in printed
        assert [name for name in kept if (output / name).read_bytes() != before[name]] == [], limit
        assert not list(output.rglob("*.part"))
    assert runs((None, longer))[0][0] == 0


def test_a_loss_that_is_not_finite_ends_the_run_and_poisons_nothing(tmp_path: Path) -> None:
    output = tmp_path / "run"
    rates = ["optimizer.encoder_lr=1e25", "optimizer.decoder_lr=1e25"]
    common = [*TINY, *rates, "schedule.kind=constant", "schedule.warmup_steps=0", f"output={output}"]
    [(status, _, printed)] = runs((None, common))
    assert status == 1
    assert "Traceback" not in printed
    text = " ".join(printed.split())
    assert "step" in text and "synthetic scene" in text and ("last." in text)
    for name in ("last.safetensors", "best.safetensors"):
        if (output / name).exists():
            for key, tensor in load_file(output / name).items():
                assert tensor.isfinite().all(), (name, key)
    state = output / "last.state.pt"
    if state.exists():
        for tensors in torch.load(state, weights_only=True)["modules"].values():
            assert all(t.isfinite().all() for t in tensors.values())
