# SPDX-License-Identifier: Apache-2.0
"""The training benchmark: the reference computes the same step, and what is reported is what was measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cen_model.benchmark import training_speed
from cen_model.benchmark.reference import ListNetwork
from cen_model.benchmark.speed_tables import training_markdown
from cen_model.benchmark.training_speed import TrainingRow, entries, measure_training
from cen_model.benchmark.training_step import PENALTY, Step, TrainingEntry, flops
from cen_model.cli import benchmark as command
from cen_model.config import SegmentationConfig
from cen_model.data.data_config import DataConfig, SyntheticConfig
from cen_model.scenes.scene_dataset import SyntheticScenes

NETWORK = SegmentationConfig(
    classes=("a", "b", "c"), encoder="resnet18", encoder_width=0.25, decoder_width=16, dropout=0.0
)
ENTRY = TrainingEntry(NETWORK, "ours", size=(64, 96))


def one_step(entry: TrainingEntry) -> Step:
    step = entry.prepare()
    for norm in (module for module in step.network.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.eps = 1e-2  # few pixels: rounding would be divided by almost nothing
    step.loss().backward()
    return step


@pytest.mark.parametrize("frozen", [False, True])
def test_every_way_computes_the_reference_s_gradients_and_statistics(frozen: bool) -> None:
    published = one_step(replace(ENTRY, way="published", frozen=frozen))
    assert isinstance(published.network, ListNetwork)
    for way, channels_last in (("ours", False), ("frugal", True)):
        ours = one_step(replace(ENTRY, way=way, frozen=frozen, channels_last=channels_last))
        assert ours.network.exchanged_share() > 0.2
        names = {"encoder": "layers.0", "decoder": "layers.1"}
        theirs = dict(published.network.named_parameters())
        for name, parameter in ours.network.named_parameters():
            part, _, rest = name.partition(".")
            expected = theirs[f"{names[part]}.{rest}" if part in names else name]
            scale = expected.grad.abs().max() + 1e-6
            assert (parameter.grad - expected.grad).abs().max() <= 2e-3 * scale, name
        buffers = dict(published.network.named_buffers())
        for name, buffer in ours.network.named_buffers():
            part, _, rest = name.partition(".")
            torch.testing.assert_close(buffer, buffers[f"{names[part]}.{rest}"], rtol=1e-3, atol=1e-4)


def test_the_loss_is_that_of_equation_4() -> None:
    step = ENTRY.prepare()
    outputs = step.network(step.images)
    total = PENALTY * step.network.sparsity()
    for logits in outputs.values():
        full = nn.functional.interpolate(logits, size=ENTRY.size, mode="bilinear", align_corners=False)
        total = total + nn.functional.cross_entropy(full, step.target.long())
    torch.testing.assert_close(step.loss(), total)


def test_a_step_changes_the_weights_and_leaves_no_gradients() -> None:
    step = ENTRY.prepare()
    before = [parameter.detach().clone() for parameter in step.network.parameters()]
    assert step() > 0
    assert all(parameter.grad is None for parameter in step.network.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, step.network.parameters(), strict=True))


def test_bfloat16_is_computed_with_and_weights_stay() -> None:
    step = replace(ENTRY, precision="bf16").prepare()
    seen = set()
    for module in step.network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda module, args, output: seen.add(output.dtype))
    step.loss()
    assert seen == {torch.bfloat16}
    assert {parameter.dtype for parameter in step.network.parameters()} == {torch.float32}


def test_flops_are_those_of_a_step() -> None:
    step = replace(ENTRY, way="published").prepare()
    with FlopCounterMode(display=False) as counter:
        sum(output.sum() for output in step.run(step.images).values()).backward()
    assert flops(ENTRY) == pytest.approx(counter.get_total_flops(), rel=1e-3)
    forward = FlopCounterMode(display=False)
    with forward, torch.no_grad():
        step.network(step.images)
    assert 2.8 * forward.get_total_flops() < flops(ENTRY) <= 3 * forward.get_total_flops()


def test_the_reference_comes_first_and_every_way_follows() -> None:
    ways = list(entries(ENTRY, compiled=True))
    assert (ways[0].way, ways[0].precision, ways[0].channels_last) == ("published", "fp32", False)
    assert len(ways) == len(set(ways)) and {way.way for way in ways[1:]} == {"ours", "frugal"}
    assert any(way.compiled for way in ways) and not any(way.compiled for way in entries(ENTRY, compiled=False))


def test_a_run_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two ways, and with an invented ceiling, to be short."""
    chosen = [replace(ENTRY, way="published"), replace(ENTRY, way="frugal")]
    monkeypatch.setattr(training_speed, "entries", lambda setting, compiled: chosen)
    monkeypatch.setattr(training_speed, "matmul_ceiling", lambda dtype, device: 1e11)
    dataset = SyntheticScenes(range(4), (48, 64))
    data = DataConfig(root=tmp_path, crop=(64, 96), min_side=40, jitter=0.2, synthetic=SyntheticConfig(size=(48, 64)))
    results = measure_training(ENTRY, 1, False, dataset, [data, replace(data, on_device=True)])
    published, *others = results.rows
    assert published.name == "published" and published.ratio == published.memory_ratio == 1
    assert all(not row.failure for row in results.rows)
    for row in others:
        assert row.loss == pytest.approx(published.loss, rel=1e-3)
        assert row.ratio == pytest.approx(published.median / row.median)
        assert row.images == pytest.approx(2 / row.median)
        assert row.memory_ratio == pytest.approx(row.peak_memory / published.peak_memory)
        share = 1e9 * results.gflop / row.median / results.ceilings[row.precision]
        assert row.ceiling_share == pytest.approx(share)
    fastest = max(row.images for row in results.rows)
    assert [row.ratio for row in results.loaders] == [pytest.approx(row.images / fastest) for row in results.loaders]

    broken = replace(
        results, rows=[*results.rows, TrainingRow("ours, compiled", "fp32", failure="no compiler\nat all")]
    )
    text = training_markdown(broken, "the command")
    assert "`the command`" in text and "failed: no compiler |" in text
    assert "scaled by 0.5 to 1 (shorter side of at least 40), cropped to 64×96" in text and "jittered by 0.2" in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("| ") and "fp32" in line}) == 1
    command._publish(results.to_json(), text, tmp_path / "training")
    assert text in capsys.readouterr().out
    assert (tmp_path / "training.md").read_text(encoding="utf-8") == text
    assert json.loads((tmp_path / "training.json").read_text())["rows"][0]["name"] == "published"


def test_what_cannot_run_is_said() -> None:
    impossible = replace(ENTRY, way="published", network=replace(NETWORK, convs="private"))
    (row,) = training_speed._compete([impossible], 1, 0, {})
    assert "convs: the published way of computing is for 'shared' alone" in row.failure
