# SPDX-License-Identifier: Apache-2.0
"""Two processes (gloo) take the same steps as one with the same global batch: same losses, same scores, to 1e-5."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

pytestmark = pytest.mark.usefixtures("scene_cache")
HERE = Path(__file__).parent
REPOSITORY = HERE.parent
TINY = [
    "--config",
    str(REPOSITORY / "config" / "train" / "synthetic.yaml"),
    "model.encoder_width=0.125",
    "model.decoder_width=8",
    "data.synthetic.size=[48,64]",
    "data.crop=[40,48]",
    "data.synthetic.train_scenes=20",
    "data.synthetic.validation_scenes=3",
    "data.synthetic.test_scenes=3",
    "optimiser.batch=4",
    "optimiser.frozen_statistics=true",
    "optimiser.encoder_lr=0.003",
    "optimiser.decoder_lr=0.003",
    "optimiser.clip=1.0",
    "schedule.epochs=3",
    "schedule.kind=constant",
    "hardware.precision=32-true",
    "half_weights=false",
]


def train(output: Path, *overrides: str, launcher: tuple[str, ...] = ()) -> None:
    command = [sys.executable, *launcher, "-m", "cen_model.train", *TINY, *overrides, f"output={output}"]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def curves(output: Path) -> dict[str, list[tuple[int, float]]]:
    log = EventAccumulator(str(output / "tensorboard")).Reload()
    tags = [tag for tag in log.Tags()["scalars"] if tag.startswith(("loss/", "mIoU/", "exchanged"))]
    return {tag: [(event.step, event.value) for event in log.Scalars(tag)] for tag in tags}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, scene_cache: None):
    output = tmp_path_factory.mktemp("alone")
    train(output)
    return output


WAYS = {
    "torchrun": ((), ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")),
    "devices, and each share in two passes": (("hardware.devices=2", "optimiser.accumulate=2"), ()),
}


@pytest.mark.parametrize(("overrides", "launcher"), WAYS.values(), ids=WAYS)
def test_the_same_curve(tmp_path: Path, alone: Path, overrides: tuple[str, ...], launcher: tuple[str, ...]) -> None:
    train(tmp_path, *overrides, launcher=launcher)
    assert_the_same(alone, tmp_path)


def test_what_one_process_began_others_continue_each_with_a_share_of_the_weights(tmp_path: Path, alone: Path) -> None:
    shared = ("hardware.devices=2", "hardware.strategy=fsdp")
    train(tmp_path, "schedule.epochs=1")
    train(tmp_path, "schedule.epochs=2", *shared)
    train(tmp_path, *shared)
    assert_the_same(alone, tmp_path)


def assert_the_same(alone: Path, together: Path) -> None:
    ours, theirs = curves(alone), curves(together)
    assert ours.keys() == theirs.keys()
    for tag, values in ours.items():
        assert [step for step, _ in values] == [step for step, _ in theirs[tag]], tag
        assert [v for _, v in theirs[tag]] == pytest.approx([v for _, v in values], abs=1e-5), tag
    a, b = (json.loads((each / "results.json").read_text())["scores"] for each in (alone, together))
    assert a["ensemble"]["mean_iou"] == pytest.approx(b["ensemble"]["mean_iou"], abs=1e-3)
