# SPDX-License-Identifier: Apache-2.0
"""What was measured, as plain values for JSON: of one bag, and of several together.

A report of a bag, shares and scores in [0, 1], null where a thing is not defined:

    bag         path of the bag
    error       why nothing could be evaluated, else null; where it came before the bag was read to its end, only
                `bag`, `error` and `run` are there
    damage      what of the bag could not be read, else null
    streams     topics rgb, depth, info, truth, and why they were chosen
    frames      how many were labeled
    pairing     messages by stream, pairs, unpaired images by stream, frames lost to malformed images with the first
                reasons, differences of stamps within pairs (depth minus color, ms), offset_ms: the median distance of
                the nearest depth stamp from every color stamp, late_ms: how long after color of its stamp depth came
                that was too late for a pair (median, negative where color was late), and how truth was found
    scores      null without truth; frames, mean_iou, mean_accuracy, pixel_accuracy, iou by class,
                confusion: rows the truth, columns the labels, the last one for labels that are no class
    flicker     plain and warped: changed, compared and seen pixels of consecutive frames, share = changed / compared,
                coverage = compared / seen; why_not_warped
    series      by frame: stamp_ns, iou, plain and warped flicker
    timing      the only part that differs from run to run: seconds, preparation_s (engine and first image, not in
                seconds), frames_per_s, inference_ms: median, p95, max; frame_ms: of every frame
    run         command, versions, weights, label_groups, classes (or groups), runs_on: engine and device

The total of several has bags (path, report, frames, mean_iou, damage, error of each), and frames, scores, flicker,
timing and run as above; its seconds are those of the first process, until the last one was done. Counts are integers
and are added: it does not matter which process counted what.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cen_model.evaluation.metrics import Scores
from cen_model.evaluation.results import of_scores
from cen_ros.evaluation.flicker import Change

KINDS = ("plain", "warped")


def scores(confusion: np.ndarray, classes: Sequence[str], frames: int) -> dict[str, Any] | None:
    """The section `scores`; None where no frame had truth."""
    if not frames:
        return None
    return {
        "frames": frames,
        **of_scores(Scores.of(confusion), classes),
        "confusion": confusion.tolist(),
    }


def flicker(change: Change) -> dict[str, Any]:
    """One kind of the section `flicker`."""
    return {
        **change._asdict(),
        "share": change.changed / change.compared if change.compared else None,
        "coverage": change.compared / change.seen if change.seen else None,
    }


def timing(frame_ms: Sequence[float], seconds: float, preparation_s: float) -> dict[str, Any]:
    """The section `timing`."""
    inference = None
    if frame_ms:
        median, p95 = np.percentile(frame_ms, (50, 95)).tolist()
        inference = {"median": median, "p95": p95, "max": max(frame_ms)}
    return {
        "seconds": seconds,
        "preparation_s": preparation_s,
        "frames_per_s": len(frame_ms) / seconds if seconds else None,
        "inference_ms": inference,
        "frame_ms": list(frame_ms),
    }


def total(reports: Sequence[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Several bags together, in their order; `seconds` is what they took in all."""
    done = [report for report in reports if report["error"] is None]
    scored = [report["scores"] for report in done if report["scores"]]
    keys = ("bag", "report", "frames", "damage", "error")
    bags = [
        {**{key: report.get(key) for key in keys}, "mean_iou": (report.get("scores") or {}).get("mean_iou")}
        for report in reports
    ]
    changes = {
        kind: Change(*(sum(report["flicker"][kind][name] for report in done) for name in Change._fields))
        for kind in KINDS
    }
    confusion = sum(np.array(each["confusion"], np.int64) for each in scored)
    return {
        "bags": bags,
        "frames": sum(report["frames"] for report in done),
        "scores": scores(confusion, list(scored[0]["iou"]), sum(each["frames"] for each in scored)) if scored else None,
        "flicker": {kind: flicker(change) for kind, change in changes.items()},
        "timing": timing(
            [ms for report in done for ms in report["timing"]["frame_ms"]],
            seconds,
            sum(report["timing"]["preparation_s"] for report in done),
        ),
        "run": reports[0]["run"],
    }
