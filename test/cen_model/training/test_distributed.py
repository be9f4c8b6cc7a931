# SPDX-License-Identifier: Apache-2.0
"""Two processes (gloo) take the same steps as one with the same global batch: same losses, same scores, to 1e-5.

Scores are those of a moving average, so that it is compared, too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cen_model import checkpoint
from cen_model.evaluation.dataset_scores import measure_scores
from cen_model.training.loop import open_split, train
from cen_model.training.run_config import parse
from helpers.paths import REPOSITORY

pytestmark = pytest.mark.usefixtures("scene_cache")
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
    "optimizer.batch=4",
    "optimizer.frozen_statistics=true",
    "optimizer.encoder_lr=0.003",
    "optimizer.decoder_lr=0.003",
    "optimizer.clip=1.0",
    "schedule.epochs=3",
    "schedule.kind=constant",
    "hardware.precision=32-true",
    "half_weights=false",
    "ema=0.5",
]
# unet-published of the registry; SGD, for Adam's first step is as large where rounding alone makes the gradient.
TRANSLATION = [
    "--config",
    str(REPOSITORY / "config" / "train" / "translation.yaml"),
    "model.modalities=[depth, normal]",
    "model.filters=4",
    "model.exchange={scope: all, threshold: 0.01}",
    "model.normalized=inner",
    "model.decoder_norms=private",
    "model.dropout=0",
    "data.dataset=synthetic",
    "data.synthetic={size: [64, 64], train_scenes: 4, validation_scenes: 2, test_scenes: 2}",
    "data.workers=0",
    "optimizer.kind=sgd",
    "optimizer.batch=2",
    "schedule.epochs=2",
    "validate_every=2",
]


def train_alone(output: Path, *overrides: str, base: Sequence[str] = TINY) -> None:
    """In this process: every other one takes seconds to start."""
    assert train(parse([*base, *overrides, f"output={output}"]), Console(quiet=True))


def train_together(
    output: Path,
    *overrides: str,
    launcher: Sequence[str] = (),
    program: Sequence[str] = ("-m", "cen_model.train"),
    base: Sequence[str] = TINY,
) -> None:
    command = [sys.executable, *launcher, *program, *base, *overrides, f"output={output}"]
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
    tags = [tag for tag in log.Tags()["scalars"] if tag.startswith(("loss/", "mIoU/", "MAE/", "exchanged"))]
    return {tag: [(event.step, event.value) for event in log.Scalars(tag)] for tag in tags}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, scene_cache: None):
    output = tmp_path_factory.mktemp("alone")
    train_alone(output)
    return output


WAYS = {
    "torchrun": ((), ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")),
    "devices, and each share in two passes": (("hardware.devices=2", "optimizer.accumulate=2"), ()),
}


@pytest.mark.parametrize(("overrides", "launcher"), WAYS.values(), ids=WAYS)
def test_the_same_curve(tmp_path: Path, alone: Path, overrides: tuple[str, ...], launcher: tuple[str, ...]) -> None:
    train_together(tmp_path, *overrides, launcher=launcher)
    assert_the_same(alone, tmp_path)


def test_what_one_process_began_others_continue_each_with_a_share_of_the_weights(tmp_path: Path, alone: Path) -> None:
    shared = ("hardware.devices=2", "hardware.strategy=fsdp")
    train_alone(tmp_path, "schedule.epochs=1")
    train_together(tmp_path, *shared, program=("-m", "cen_model.cli", "train"))
    assert_the_same(alone, tmp_path)


def test_the_published_translation_takes_the_same_steps(tmp_path: Path) -> None:
    """Though nothing passes through two of its norms: DDP would wait for the gradients of their offsets."""
    alone, together = tmp_path / "alone", tmp_path / "together"
    train_alone(alone, base=TRANSLATION)
    script = tmp_path / "cen"  # as it is installed; Fabric starts a script again in another way than a module
    script.write_text("import sys\nfrom cen_model.cli.cen import main\nsys.exit(main())\n")
    train_together(together, "hardware.devices=2", program=(str(script), "train"), base=TRANSLATION)
    assert_the_same_curves(alone, together)
    weights = [checkpoint.load(each / "last.safetensors").state_dict() for each in (alone, together)]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-4, atol=1e-5, msg=name)


def test_what_is_measured_together_is_the_network_that_is_written(tmp_path: Path) -> None:
    """Even though each process has normalized other samples; and a stream alone has no weights of an ensemble."""
    single = ("model.modalities=[depth]", "model.exchange=null", "optimizer.frozen_statistics=false", "ema=null")
    train_together(tmp_path, *single, "hardware.devices=2", "optimizer.encoder_lr=0.03")
    together = json.loads((tmp_path / "results.json").read_text())["scores"]
    config = parse([*TINY, *single, f"output={tmp_path}"])
    network, frames = checkpoint.load(tmp_path / "last.safetensors"), open_split(config, "test")
    again = measure_scores(network, frames, config.data)
    for name, scores in again.items():
        assert scores.mean_iou == pytest.approx(together[name]["mean_iou"], abs=1e-9), name


def test_ctrl_c_lets_all_processes_finish_what_they_write(tmp_path: Path) -> None:
    arguments = [*TINY, "schedule.epochs=500", "hardware.devices=2", f"output={tmp_path}"]
    command = [sys.executable, "-m", "cen_model.train", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        while not (tmp_path / "last.safetensors").is_file() and run.poll() is None:
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        printed, _ = run.communicate(timeout=600)
    assert run.returncode == 130, printed
    assert "stopped; the same command continues" in printed
    step = torch.load(tmp_path / "last.state.pt", weights_only=True)["progress"]["step"]
    assert step > 0 and checkpoint.read_metadata(tmp_path / "last.safetensors")["step"] == str(step)
    assert not list(tmp_path.rglob("*.part"))


def assert_the_same(alone: Path, together: Path) -> None:
    assert_the_same_curves(alone, together)
    a, b = (json.loads((each / "results.json").read_text())["scores"] for each in (alone, together))
    assert a["ensemble"]["mean_iou"] == pytest.approx(b["ensemble"]["mean_iou"], abs=1e-3)


def assert_the_same_curves(alone: Path, together: Path) -> None:
    ours, theirs = curves(alone), curves(together)
    assert ours.keys() == theirs.keys()
    for tag, values in ours.items():
        assert [step for step, _ in values] == [step for step, _ in theirs[tag]], tag
        # A pixel on the border of two classes may fall either way.
        tolerance = 1e-3 if tag.startswith("mIoU/") else 1e-5
        assert [v for _, v in theirs[tag]] == pytest.approx([v for _, v in values], rel=1e-6, abs=tolerance), tag
