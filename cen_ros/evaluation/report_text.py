# SPDX-License-Identifier: Apache-2.0
"""A report, as `cen_ros.evaluation.bag_results` describes it, for a terminal."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.table import Table

from cen_model.evaluation import score_tables as tables
from cen_model.evaluation.metrics import Scores
from cen_ros.segmentation.watch import lateness


def lines(report: dict[str, Any]) -> list[str]:
    """What a report, or a total, says in a few lines."""
    if report.get("error") is not None:
        return [f"not evaluated: {report['error']}"]
    said = [f"{report['frames']} frames labeled"]
    if report.get("damage"):
        said.append(f"damaged, evaluated as far as it reads: {report['damage']}")
    if "pairing" in report:
        said += _pairing(report["pairing"])
    if scores := report["scores"]:
        accuracy = f"mean IoU {_percent(scores['mean_iou'])}, pixel accuracy {_percent(scores['pixel_accuracy'])}"
        said.append(f"{accuracy} on {scores['frames']} frames with truth")
    said.append(_flicker(report["flicker"]))
    if inference := report["timing"]["inference_ms"]:
        figures = ", ".join(f"{value:.1f} ms {name}" for name, value in inference.items())
        said.append(f"inference {figures}; {report['timing']['frames_per_s']:.1f} frames/s in all")
    return said


def classes(report: dict[str, Any]) -> Table | None:
    """IoU of every class; None without truth."""
    scores = report.get("scores")
    if not scores:
        return None
    return tables.table({"IoU, %": Scores.of(np.array(scores["confusion"]))}, list(scores["iou"]), "")


def _pairing(pairing: dict[str, Any]) -> list[str]:
    count, alone, malformed = pairing["messages"], pairing["unpaired"], pairing["malformed"]
    said = [
        f"{count['rgb']} color and {count['depth']} depth images, {pairing['pairs']} pairs, "
        f"{alone['rgb']} and {alone['depth']} without partner"
    ]
    if difference := pairing["difference_ms"]:
        said[0] += f"; depth {difference['signed_median']:+.1f} ms after color, {difference['max']:.1f} ms at most"
    truth = pairing["truth"]
    late = {"depth": pairing["late_ms"], "truth": truth["late_ms"]}
    said += [f"not paired: {lateness(ms, later=name)}" for name, ms in late.items() if ms is not None]
    if count["truth"]:
        said.append(f"{count['truth']} truths: {truth['equal_stamp']} by equal stamp, {truth['nearest_stamp']} by the")
        said[-1] += f" nearest, {truth['without_image']} without image"
    if malformed["frames"] or malformed["truth"]:
        said.append(f"malformed images cost {malformed['frames']} frames and {malformed['truth']} truths:")
        said += [f"  {reason}" for reason in malformed["reasons"]]
    return said


def _flicker(flicker: dict[str, Any]) -> str:
    plain, warped = flicker["plain"], flicker["warped"]
    said = f"labels change from frame to frame: {_percent(plain['share'])}"
    if warped["compared"]:
        return f"{said}, on the same surface {_percent(warped['share'])} ({_percent(warped['coverage'])} compared)"
    return f"{said}; not warped: {flicker.get('why_not_warped') or 'there is nothing to compare'}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
