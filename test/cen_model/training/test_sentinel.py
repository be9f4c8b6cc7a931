# SPDX-License-Identifier: Apache-2.0
"""What is no longer finite is found, and named by its step and frames."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from cen_model.training.sentinel import Sentinel


class Frames:
    def describe(self, index: int) -> str:
        return f"frame{index}.png"


def sentinel(tmp_path: Path) -> Sentinel:
    return Sentinel(Frames(), tmp_path / "last.safetensors")


def terms(value: float) -> dict[str, torch.Tensor]:
    return {"rgb": torch.tensor(1.0), "depth": torch.tensor(value)}


def test_the_first_bad_step_is_named_with_its_files(tmp_path: Path) -> None:
    watch = sentinel(tmp_path)
    for step, value in enumerate((1.0, float("nan"), float("inf"))):
        watch.note(step, terms(value), torch.tensor([10 * step, 10 * step + 1]))
    with pytest.raises(
        ValueError, match=r"step 1: depth nan\. Its batch: frame10\.png; frame11\.png.*nothing was saved"
    ):
        watch.check()


@pytest.mark.parametrize("spoilt", ["weight", "running_var"])
def test_weights_and_statistics_are_looked_at_before_they_are_written(tmp_path: Path, spoilt: str) -> None:
    (tmp_path / "last.safetensors").touch()
    watch, norm = sentinel(tmp_path), nn.BatchNorm2d(3)
    watch.note(7, terms(1.0), torch.tensor([4]))
    watch.check([norm])
    with torch.no_grad():
        getattr(norm, spoilt)[1] = float("inf")
    watch.note(8, terms(1.0), torch.tensor([5]))
    with pytest.raises(ValueError, match=r"after step 8\. Its batch: frame5\.png\..*last\.safetensors is from before"):
        watch.check([norm])
