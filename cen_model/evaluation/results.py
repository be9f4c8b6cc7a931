# SPDX-License-Identifier: Apache-2.0
"""What was measured, as plain values for JSON.

Shares and scores are in [0, 1], null where a thing is not defined:

    task          segmentation or translation
    data          dataset, root, split, layout, label_set, frames
    inference     how the network was run; `drop`: the modalities that were missing; `holes`: the folder of depth images
                  whose holes the frames got; `center_crop`: height and width of all that was in view; `runs_on`: the
                  network or engine
    network       modalities, parameters; exchanged: the share of exchangeable channels that are replaced; temperature,
                  by which logits are divided (null in translation)
    scores        by output. Segmentation: mean_iou, mean_accuracy, pixel_accuracy, iou by class. Translation: mae,
                  mse and rmse of images in [-1, 1], fid and kid (null where they were not asked for)
    classes       segmentation: the names, of groups where `inference` has label_groups
    confusion     segmentation, by output: pixels, rows the truth, columns the labels, in the order of `classes`; a last
                  column for labels that are void, where groups leave a class void
    calibration_error    segmentation: of the ensemble, in 15 bins of its confidence (ECE)
    whole_frame   with `center_crop` alone: scores and confusion of the same pixels with the whole frame in view
    frames        by frame: index, files; of the ensemble: iou and pixel_accuracy, or mae
    run           weights, command, commit, versions, device, processes, seconds

Only `run` differs from one run to the next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from cen_model.evaluation.metrics import ImageScores, Scores

RESULTS = "results.json"


def segmentation(confusion: Mapping[str, np.ndarray], classes: Sequence[str]) -> dict[str, Any]:
    """The sections `classes`, `scores` and `confusion` of confusion matrices int64 (K, K), or (K, K + 1), by output."""
    return {
        "classes": list(classes),
        "scores": {name: of_scores(Scores.of(matrix), classes) for name, matrix in confusion.items()},
        "confusion": {name: matrix.tolist() for name, matrix in confusion.items()},
    }


def of_scores(scores: Scores | ImageScores, classes: Sequence[str] = ()) -> dict[str, Any]:
    """One output's part of the section `scores`."""
    if isinstance(scores, ImageScores):
        return asdict(scores)
    return {
        "mean_iou": defined(scores.mean_iou),
        "mean_accuracy": defined(scores.mean_accuracy),
        "pixel_accuracy": defined(scores.pixel_accuracy),
        "iou": dict(zip(classes, map(defined, scores.iou), strict=True)),
    }


def frame(confusion: np.ndarray) -> dict[str, float | None]:
    """What the section `frames` says of a frame's confusion matrix."""
    scores = Scores.of(confusion)
    return {"iou": defined(scores.mean_iou), "pixel_accuracy": defined(scores.pixel_accuracy)}


def defined(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value
