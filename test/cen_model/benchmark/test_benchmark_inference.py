# SPDX-License-Identifier: Apache-2.0
"""The inference benchmark: what a row is compared with is there or said to be missing, and one failure costs a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from cen_model import checkpoint
from cen_model.benchmark import inference_speed
from cen_model.benchmark.contestant import Contestant, Readiness, in_turn
from cen_model.benchmark.deployed import REFERENCE
from cen_model.benchmark.inference_speed import NONE, Results, measure_inference
from cen_model.benchmark.reference import exchange_a_third
from cen_model.benchmark.speed_tables import markdown
from cen_model.config import SegmentationConfig
from cen_model.models import build
from helpers.killed import Killed

SENSOR = 48, 64
SMALL = SegmentationConfig(encoder="resnet18", encoder_width=0.125, decoder="light_refinenet", decoder_width=8)
SINGLE = replace(SMALL, modalities=("rgb",), exchange=None)


class InThisProcess(Contestant):
    """Every process takes seconds to start."""

    broken = ""

    def __enter__(self) -> InThisProcess:
        try:
            if self.entry.backend == self.broken:
                raise ValueError("broken")
            self.run = self.entry.prepare()
        except ValueError as error:
            raise RuntimeError(str(error)) from error
        self.readiness = Readiness(1.0, self.run())
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def seconds(self, turns: int = 1) -> list[float]:
        return [2.0 if self.entry.backend == REFERENCE else 1.0] * turns

    def peak_memory(self) -> int:
        return 1


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Results]:
    monkeypatch.setattr(inference_speed, "Contestant", InThisProcess)
    monkeypatch.setattr(inference_speed, "matmul_ceiling", lambda dtype, device: 1e11)
    monkeypatch.setattr(inference_speed, "_gflop", lambda entry: (1.0, 1.0))

    def measured(config: SegmentationConfig, backends: list[str], broken: str = "") -> Results:
        monkeypatch.setattr(InThisProcess, "broken", broken)
        torch.manual_seed(0)
        checkpoint.save(tmp_path / "weights.safetensors", exchange_a_third(build(config), seed=0))
        return measure_inference([str(tmp_path / "weights.safetensors")], SENSOR, "cpu", backends, rounds=1)

    return measured


def comparisons(results: Results) -> dict[tuple[str, str], list[str]]:
    """Cells of the table: times the reference, and labels as the network's own; by backend and branch."""
    lines = [line for line in markdown(results, "").splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    places = [rows[0].index(title) for title in ("times the reference", "labels as the network's own")]
    return {(row[1], row[3]): [row[place] for place in places] for row in rows[2:] if "failed" not in row[4]}


def test_the_network_itself_is_measured_though_nobody_names_it(measured: Callable[..., Results]) -> None:
    found = comparisons(measured(SMALL, []))
    assert list(found) == [(REFERENCE, "ensemble"), (NONE, "ensemble"), (NONE, "rgb")]
    assert found[NONE, "ensemble"] == found[NONE, "rgb"] == ["2.00", "100.00 %"]
    ratio, agreement = found[REFERENCE, "ensemble"]
    assert ratio == "1.00" and float(agreement.split()[0]) > 99.9


def test_without_a_reference_nothing_is_relative_to_it(measured: Callable[..., Results]) -> None:
    results = measured(SINGLE, [NONE])
    assert comparisons(results) == {(NONE, "ensemble"): ["-", "100.00 %"], (NONE, "rgb"): ["-", "100.00 %"]}
    assert "published way of computing is for 2 alone" in results.rows[0].failure
    assert '"ratio": null' in results.to_json()


def test_without_labels_of_the_network_itself_none_are_compared(measured: Callable[..., Results]) -> None:
    results = measured(SMALL, [], broken=NONE)
    assert comparisons(results) == {(REFERENCE, "ensemble"): ["1.00", "-"]}
    assert [row.failure for row in results.rows] == ["broken", "broken", ""]


def test_who_is_killed_fails_alone() -> None:
    with pytest.raises(RuntimeError, match="ended, perhaps for want of memory"), Contestant(Killed(turns=0)):
        pytest.fail("it cannot have answered")
    other = SimpleNamespace(seconds=lambda turns: [0.5] * turns)
    with Contestant(Killed(turns=3)) as killed:
        assert killed.readiness.answer == 1 and len(killed.seconds()) == 1
        assert in_turn([killed, other], rounds=2, seconds=1.0) == [[], [[0.5, 0.5], [0.5, 0.5]]]
        for ask in (killed.seconds, killed.peak_memory):
            with pytest.raises(RuntimeError, match="ended, perhaps for want of memory"):
                ask()


def test_who_is_killed_while_timed_is_a_failure(
    measured: Callable[..., Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {REFERENCE: [[2.0]], NONE: []}
    monkeypatch.setattr(inference_speed, "in_turn", lambda ready, *_: [times[each.entry.backend] for each in ready])
    results = measured(SMALL, [])
    assert comparisons(results) == {(REFERENCE, "ensemble"): ["1.00", "100.00 %"]}
    assert all("want of memory" in row.failure for row in results.rows if row.backend == NONE)
