# SPDX-License-Identifier: Apache-2.0
"""Scores for people (a table) and for a checkpoint's metadata (text)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from rich.table import Table

from cen_model.metrics import Scores


def table(scores: Mapping[str, Scores], classes: Sequence[str], title: str) -> Table:
    """IoU of every class and the means, in per cent, one column for each output."""
    result = Table("", *scores, title=title)
    for index, name in enumerate(classes):
        result.add_row(name, *(_percent(s.iou[index]) for s in scores.values()), end_section=index + 1 == len(classes))
    for name in ("mean_iou", "mean_accuracy", "pixel_accuracy"):
        result.add_row(name.replace("_", " "), *(_percent(getattr(s, name)) for s in scores.values()))
    return result


def branches(scores: Mapping[str, Scores]) -> str:
    """What running one modality's decoder alone would cost, a line each; empty where there is only one output."""
    ensemble = scores["ensemble"].mean_iou
    lines = (
        f"branch {name}: mean IoU {100 * (s.mean_iou - ensemble):+.1f} points against the ensemble"
        for name, s in scores.items()
        if name != "ensemble"
    )
    return "\n".join(lines) if len(scores) > 2 else ""


def metadata(scores: Mapping[str, Scores], classes: Sequence[str], seeds: range) -> dict[str, str]:
    """Measured scores as text: mean IoU of every output, IoU of every class as JSON, and what they were measured on."""
    iou = {
        output: {name: _rounded(value) for name, value in zip(classes, s.iou, strict=True)}
        for output, s in scores.items()
    }
    return {
        **{f"mean_iou.{output}": f"{s.mean_iou:.4f}" for output, s in scores.items()},
        **{f"pixel_accuracy.{output}": f"{s.pixel_accuracy:.4f}" for output, s in scores.items()},
        "class_iou": json.dumps(iou),
        "held_out_scenes": str(len(seeds)),
        "held_out_seeds": f"{seeds.start}..{seeds.stop - 1}",
    }


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
