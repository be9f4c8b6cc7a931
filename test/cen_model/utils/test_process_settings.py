# SPDX-License-Identifier: Apache-2.0
"""Programs choose what the whole process does with freed memory; objects of the library change nothing of it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from cen_model.benchmark.contestant import Contestant
from cen_model.benchmark.deployed import REFERENCE
from cen_model.config import SegmentationConfig
from cen_ros.tools.child_processes import private_environment
from helpers.paths import CONFIG, REPOSITORY
from helpers.telling import TellingDeployed, TellingTraining

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone has the settings")

ENVIRONMENT = private_environment(CONFIG / "fastdds_large_images.xml")
ENVIRONMENT["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "test")])
POLICIES = "from cen_model.utils.process_settings import *"
NOWHERE = "data={dataset: nyudv2, root: /nowhere}"


def run(code, *arguments):
    """Run Python code in a process of its own; return the policies that it says."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [line.removeprefix("policy: ") for line in done.stdout.splitlines() if line.startswith("policy: ")]


@pytest.mark.parametrize(
    ("calls", "policy"),
    [
        ("", "default"),
        ("keep_freed_memory()", "keeps"),
        ("return_large_blocks()", "returns"),
        ("keep_freed_memory(); return_large_blocks()", "returns"),
        ("return_large_blocks(); keep_freed_memory()", "keeps"),
    ],
)
def test_the_last_policy_holds(calls, policy):
    assert run(f"from helpers import allocator\n{POLICIES}\n{calls}\nprint('policy:', allocator.policy())") == [policy]


PROGRAM = """
import sys
from helpers import allocator
from {module} import main
for sys.argv[1:] in {runs}:
    try:
        failed = main()
    except SystemExit as error:
        failed = error.code
    assert failed, "it was to end with an error"
    print("policy:", allocator.policy())
"""


@pytest.mark.parametrize(
    ("module", "runs"),
    [
        ("cen_ros.node", {"keeps": ["--ros-args", "-p", "autostart:=1"]}),
        ("cen_ros.build_engines", {"keeps": ["--ros-args", "-p", "weights:=nowhere"]}),
        ("cen_ros.evaluate_bag", {"keeps": ["nowhere", "--weights", "nowhere"]}),
        ("cen_model.cli.cen", {"keeps": ["deploy", "nowhere"]}),
        (
            "cen_model.cli.cen",
            {"default": ["evaluate", "nowhere"], "keeps": ["evaluate", "nowhere", "--backend", "eager"]},
        ),
        (
            "cen_model.cli.cen",
            {"keeps": ["train", NOWHERE], "returns": ["train", NOWHERE, "hardware.recompute=true"]},
        ),
    ],
)
def test_programs_choose_a_policy_before_they_begin(module, runs):
    """Each is given something that it cannot work with, so that it ends early."""
    if module in ("cen_ros.node", "cen_ros.build_engines"):
        pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cen_ros[ros]'")
    assert run(PROGRAM.format(module=module, runs=list(runs.values()))) == list(runs)


DEPLOYED = (Path("nowhere"), "eager", "fp32", "ensemble", (48, 64), "cpu", Path("nowhere"))
PUBLISHED = (DEPLOYED[0], REFERENCE, *DEPLOYED[2:])


@pytest.mark.parametrize(
    ("entry", "policy"),
    [
        (TellingDeployed(*DEPLOYED), "keeps"),
        (TellingDeployed(*PUBLISHED), "default"),
        (TellingTraining(SegmentationConfig(), "frugal"), "returns"),
        (TellingTraining(SegmentationConfig(), "ours"), "keeps"),
        (TellingTraining(SegmentationConfig(), "published"), "default"),
    ],
    ids=["deployed", "deployed as published", "frugal", "ours", "published"],
)
def test_the_benchmarks_processes_have_the_policy_of_what_they_measure(entry, policy):
    with Contestant(entry) as contestant:
        assert contestant.readiness.answer == policy


LIBRARY = """
import os, signal, sys
looked_up = []
sys.addaudithook(lambda event, args: looked_up.append(args[1]) if event == "ctypes.dlsym" else None)

import numpy as np
import torch
from helpers import allocator
from cen_model.config import SegmentationConfig
from cen_model.models import build
from cen_model.predictor import Deployment, Predictor
from cen_model.utils.process_settings import keep_freed_memory
from cen_model.training.recompute import recompute
from pathlib import Path

def settings():
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    return torch.get_num_threads(), torch.get_num_interop_threads(), torch.is_grad_enabled(), dict(os.environ), handlers

before = settings()
config = SegmentationConfig(encoder="resnet18", encoder_width=0.25, decoder="light_refinenet", decoder_width=16)
frame = np.zeros((64, 96, 3), np.uint8), np.ones((64, 96), np.uint16)
for backend in ("none", "eager"):
    deployment = Deployment(backend, cache=Path(sys.argv[1]))
    Predictor(build(config).eval(), device="cpu", deployment=deployment).predict(*frame)
assert any(Path(sys.argv[1]).iterdir()), "an engine was built"
network = build(config)
recompute(network)
outputs = network({"rgb": torch.randn(2, 3, 64, 96), "depth": torch.rand(2, 1, 64, 96)})
sum(output.mean() for output in outputs.values()).backward()
assert settings() == before
assert "mallopt" not in looked_up
print("policy:", allocator.policy())
keep_freed_memory()
assert "mallopt" in looked_up, "it would have been seen"
"""


def test_objects_of_the_library_change_nothing_of_the_process(tmp_path):
    assert run(LIBRARY, str(tmp_path)) == ["default"]
