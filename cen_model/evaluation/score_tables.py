# SPDX-License-Identifier: Apache-2.0
"""Scores for people (a table) and for a checkpoint's metadata (text)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from rich.console import RenderableType
from rich.table import Table

from cen_model.evaluation.metrics import ImageScores, Scores

IMAGE_UNITS = (
    "MAE, MSE and its root: of images in [-1, 1]; the paper's Table 6 has ten times MAE and ten times the root. "
    "KID: its tables have a hundred times this."
)


def printed(results: Mapping[str, Any]) -> list[RenderableType]:
    """What results, as `cen_model.evaluation.results` describes them, say on a terminal."""
    data, drop = results["data"], results["inference"]["drop"]
    title = f"{results['run']['weights']}: {data['frames']} frames of {data['dataset']} ({data['split']})"
    if results["inference"]["holes"]:
        title += f", with the holes of {results['inference']['holes']}"
    if results["network"]["exchanged"] is not None:
        title += f", exchanged {results['network']['exchanged']:.0%}"
    if results["task"] == "translation":
        return [_images(results["scores"], title), IMAGE_UNITS]
    scores = _scores(results)
    shown: list[RenderableType] = [table(scores, results["classes"], title)]
    if drop:
        worth = ", ".join(f"{name} {_percent(s.mean_iou)} %" for name, s in scores.items())
        shown.append(f"without {', '.join(drop)}, mean IoU: {worth}")
    elif len(scores) > 2:
        shown.append(branches(scores))
    if results["calibration_error"] is not None:
        shown.append(f"calibration error (ECE) of the ensemble: {_percent(results['calibration_error'])} %")
    if "whole_frame" in results:
        shown.append(_cropped(scores, _scores(results["whole_frame"]), results["inference"]["center_crop"]))
    return shown


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


def _scores(section: Mapping[str, Any]) -> dict[str, Scores]:
    return {name: Scores.of(np.array(matrix)) for name, matrix in section["confusion"].items()}


def _cropped(crop: Mapping[str, Scores], whole: Mapping[str, Scores], size: Sequence[int]) -> str:
    """What is lost where the center of that size is all that is in view, a line for each output."""
    lines = [f"mean IoU with the center {'×'.join(map(str, size))} alone in view, and there with the whole frame:"]
    for name, scores in crop.items():
        alone, within = scores.mean_iou, whole[name].mean_iou
        lines.append(f"{name} {_percent(alone)} %, {_percent(within)} % ({100 * (alone - within):+.1f} points)")
    return "\n".join(lines)


def _images(scores: Mapping[str, Mapping[str, float | None]], title: str) -> Table:
    shown = [each.name for each in fields(ImageScores)]
    shown = [key for key in shown if any(each[key] is not None for each in scores.values())]
    result = Table("", *map(str.upper, shown), title=title)
    for name, each in scores.items():
        result.add_row(name, *(f"{each[key]:.4f}" for key in shown))
    return result


def metadata(
    scores: Mapping[str, Scores] | Mapping[str, ImageScores], classes: Sequence[str], measured_on: str
) -> dict[str, str]:
    """Measured scores as text: means of every output, IoU of every class as JSON, and what they were measured on."""
    text, iou = {"measured_on": measured_on}, {}
    for output, each in scores.items():
        if isinstance(each, Scores):
            means = {"mean_iou": each.mean_iou, "pixel_accuracy": each.pixel_accuracy}
            iou[output] = {name: _rounded(value) for name, value in zip(classes, each.iou, strict=True)}
        else:
            means = asdict(each)
        text |= {f"{name}.{output}": f"{value:.4f}" for name, value in means.items() if value is not None}
    return {**text, "class_iou": json.dumps(iou)} if iou else text


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
