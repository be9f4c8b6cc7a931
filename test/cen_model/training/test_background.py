# SPDX-License-Identifier: Apache-2.0
"""A run that nobody watches: it says how far it is, and signals to it and its helpers end it saved."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from rich.console import Console

from cen_model.training import display
from cen_model.training.run_config import parse
from helpers.paths import REPOSITORY

pytestmark = pytest.mark.usefixtures("scene_cache")
PATIENCE = 240.0
TINY = [
    *("--config", str(REPOSITORY / "config" / "train" / "synthetic.yaml")),
    *("model.encoder_width=0.125", "model.decoder_width=8", "data.crop=[24,32]", "optimizer.batch=4"),
    "data.synthetic={size: [24, 32], train_scenes: 8, validation_scenes: 2, test_scenes: 2}",
    *("hardware.precision=32-true", "half_weights=false", "schedule.kind=constant", "validate_every=1000"),
    "data.workers=2",
]


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts an endless run with two loader workers, in a process group of its own; what is left of it is killed."""
    processes = []

    def begin(output: Path, *before: str) -> subprocess.Popen[str]:
        endless = [*TINY, "schedule.epochs=100000", f"output={output}"]
        command = [*before, sys.executable, "-m", "cen_model.train", *endless]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
        # Where the tests themselves run under nohup, SIGHUP would be ignored in their children too.
        heeded = partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)
        processes.append(subprocess.Popen(command, cwd=REPOSITORY, preexec_fn=heeded, **options))
        return processes[-1]

    yield begin
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(holds: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until, "it took too long"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
            pytest.fail(f"the trainer ended with status {process.returncode}: {process.communicate()[0]}")


def wait_for_all(group: int) -> None:
    """Wait until no process of a group is at work; one that ended may be waited for by nobody, and is then a zombie."""
    until = time.monotonic() + PATIENCE
    while left := [fields for fields in map(status, Path("/proc").glob("[0-9]*")) if fields[1:] == (group,)]:
        if all(fields[0] == "Z" for fields in left):
            return
        assert time.monotonic() < until, f"processes of the run are left: {left}"
        time.sleep(0.05)


def status(process: Path) -> tuple[str, int]:
    """The state and the group of a process in /proc."""
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return "Z", 0
    return fields[0], int(fields[2])


def saved(output: Path) -> int:
    """The time of the latest saved state, 0 without any."""
    path = output / "last.state.pt"
    return path.stat().st_mtime_ns if path.exists() else 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_to_the_whole_group_ends_a_run_saved(tmp_path: Path, start, number: signal.Signals) -> None:
    output = tmp_path / "a folder whose name fills more than a line of 80 columns [and has brackets]"
    process = start(output)
    wait_for(lambda: saved(output) > 0, process)
    first = saved(output)
    os.killpg(process.pid, number)
    printed, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, printed
    assert f"stopped; the same command continues (output={output})" in printed.splitlines()
    assert "Traceback" not in printed and "DataLoader" not in printed
    assert saved(output) > first
    assert torch.load(output / "last.state.pt", weights_only=True)["progress"]["step"] >= 2
    wait_for_all(process.pid)


def test_a_run_under_nohup_outlives_its_terminal(tmp_path: Path, start) -> None:
    process = start(tmp_path, "nohup")
    wait_for(lambda: saved(tmp_path) > 0, process)
    os.killpg(process.pid, signal.SIGHUP)
    after = saved(tmp_path)
    wait_for(lambda: saved(tmp_path) > after, process)
    os.killpg(process.pid, signal.SIGTERM)
    printed, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, printed


def lines(monkeypatch: pytest.MonkeyPatch, every: float, seconds_a_step: float) -> list[str]:
    """What is printed of the steps 100 to 160 of 200, of which every tenth gives its share."""
    now = [0.0]
    monkeypatch.setattr(display, "LINE_EVERY", every)
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    console = Console(file=io.StringIO(), width=40)
    with display.bar(console, range(100, 200), shown=True) as shown:
        for step in range(101, 161):
            now[0] += seconds_a_step
            terms = {"rgb": torch.tensor(step / 100), "penalty": torch.tensor(0.25)}
            shown.update(step, terms, 0.125 if step % 10 == 0 else None)
    return console.file.getvalue().splitlines()


def test_without_a_terminal_there_is_a_line_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = lines(monkeypatch, every=60.0, seconds_a_step=3.0)
    assert printed == [
        "step 120 of 200  loss 1.450  exchanged 12%  0.33 steps/s  0:04:00 left",
        "step 140 of 200  loss 1.650  exchanged 12%  0.33 steps/s  0:03:00 left",
        "step 160 of 200  loss 1.850  exchanged 12%  0.33 steps/s  0:02:00 left",
    ]
    assert len(lines(monkeypatch, every=60.0, seconds_a_step=0.5)) == 0


def test_on_a_terminal_there_is_a_bar() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    with display.bar(console, range(100, 200), shown=True) as shown:
        shown.update(150, {"rgb": torch.tensor(1.5)}, 0.125)
    assert re.search(r"150/200.*loss 1\.500", console.file.getvalue())


@pytest.mark.parametrize("arguments", [["output=~/runs/x", "data.root=~/data"], ["--output", "~/runs/x"]])
def test_paths_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "c.yaml").write_text("task: translation\nseed: 5\ndata: {dataset: nyudv2, root: ~/data}\n")
    config = parse(["--config=~/c.yaml", *arguments])
    assert (config.output, config.seed, config.task) == (f"{tmp_path}/runs/x", 5, "translation")
    assert config.data.root == tmp_path / "data"
    config = parse(["model.encoder_weights=~/resnet.pth"])
    assert config.model.encoder_weights == f"{tmp_path}/resnet.pth"
