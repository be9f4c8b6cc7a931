# SPDX-License-Identifier: Apache-2.0
"""The demo as a user runs it: real processes, real DDS; small images and a network that has learned nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from PIL import Image

from cen_model.checkpoint import save
from cen_model.config import SegmentationConfig
from cen_model.models import build
from cen_ros.tools.demo import last_line, verdict

LAST_LINE = re.compile(
    r"demo: mIoU (\d\.\d{3})  labels (\d+)/(\d+)  latency (\d+) ms median (\d+) ms p95",
)
MARK = "CEN_TEST_MARK"


@pytest.fixture(scope="module")
def untrained(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save(
        path,
        build(SegmentationConfig(encoder="resnet18", encoder_width=0.25, decoder="light_refinenet", decoder_width=16)),
    )
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


def start(cache: Path, output: Path, weights: Path, mark: str) -> subprocess.Popen:
    """The demo's process; every process that it starts inherits `mark` in its environment."""
    command = [sys.executable, "-m", "cen_ros.tools.demo", "--frames", "8", "--rooms", "1", "--size", "64", "96"]
    command += ["--backend", "none"]
    return subprocess.Popen(
        [*command, "--weights", str(weights), "--output", str(output)],
        env={**os.environ, MARK: mark, "XDG_CACHE_HOME": str(cache), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left_behind(mark: str) -> list[str]:
    """Command lines of living processes that carry `mark`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has ended, or is not ours
    return found


def camera_pid(demo: subprocess.Popen) -> int:
    """Read what the demo says until its last process, the camera, has started."""
    said = []
    for line in demo.stdout:
        said.append(line)
        if match := re.match(r"camera: pid (\d+)", line):
            return int(match[1])
    raise AssertionError("the camera was not started:\n" + "".join(said))


def test_an_untrained_network_is_scored_and_refused(untrained, cache, tmp_path):
    mark = uuid.uuid4().hex
    demo = start(cache, tmp_path, untrained, mark)
    text = demo.communicate(timeout=180)[0]
    match = LAST_LINE.fullmatch(text.splitlines()[-1])
    assert match, text
    assert demo.returncode == 1
    assert "mIoU is under 0.6" in text
    assert float(match[1]) < 0.6
    assert 1 <= int(match[2]) <= int(match[3]) == 8
    result = json.loads((tmp_path / "score.json").read_text())
    assert result["received"] <= result["sent"] == 8
    assert result["strays"] == 0
    with Image.open(tmp_path / "frames.png") as table, Image.open(tmp_path / "demo.gif") as animation:
        assert table.width > 4 * 96
        assert animation.n_frames == result["labeled"]
    assert left_behind(mark) == []


def test_interrupt_leaves_no_process_behind(untrained, cache, tmp_path):
    mark = uuid.uuid4().hex
    demo = start(cache, tmp_path, untrained, mark)
    camera_pid(demo)
    # The kernel shows a new process's environment an instant after its start has been reported.
    while len(left_behind(mark)) < 4:
        with pytest.raises(subprocess.TimeoutExpired):  # the demo itself goes on
            demo.wait(0.05)
    demo.send_signal(signal.SIGINT)
    text = demo.communicate(timeout=180)[0]
    assert demo.returncode == 130, text
    assert left_behind(mark) == []


def test_a_process_that_dies_is_named_with_the_end_of_its_log(untrained, cache, tmp_path):
    mark = uuid.uuid4().hex
    demo = start(cache, tmp_path, untrained, mark)
    os.kill(camera_pid(demo), signal.SIGKILL)
    text = demo.communicate(timeout=180)[0]
    assert demo.returncode == 1
    assert "the camera process ended with exit code -9" in text
    assert left_behind(mark) == []


def test_absent_weights_are_named_at_once(cache, tmp_path):
    demo = start(cache, tmp_path, tmp_path / "absent.safetensors", uuid.uuid4().hex)
    text = demo.communicate(timeout=180)[0]
    assert demo.returncode == 1
    assert "absent.safetensors" in text
    assert "rendering" not in text


GOOD = {"labeled": 298, "strays": 0, "miou": 0.812, "latency_ms": {"median": 88.2, "p95": 119.6}}


def test_last_line():
    line = last_line(GOOD, 300)
    assert line == "demo: mIoU 0.812  labels 298/300  latency 88 ms median 120 ms p95"
    assert LAST_LINE.fullmatch(line)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({}, None),
        ({"labeled": 280}, "20 of 300"),
        ({"miou": 0.59}, "mIoU"),
        ({"miou": None}, "mIoU"),
        ({"strays": 1}, "stamps"),
    ],
)
def test_verdict(change, complaint):
    wrong = verdict({**GOOD, **change}, 300)
    assert [complaint in line for line in wrong] == ([] if complaint is None else [True])
