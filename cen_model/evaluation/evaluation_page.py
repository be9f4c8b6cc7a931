# SPDX-License-Identifier: Apache-2.0
"""An evaluation's page: summary, classes, confusion, pictures of good and bad frames.

Axes: K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cen_model.classes import LabelSet
from cen_model.evaluation.evaluation_template import PAGE
from cen_model.reporting import plots
from cen_model.reporting.html import color, number, percent, picture, save_page

CONFUSED = 12
"""Pairs of classes that are listed."""
BINS = 20
COLUMNS = {
    "segmentation": {"mean_iou": "mean IoU", "mean_accuracy": "mean accuracy", "pixel_accuracy": "pixel accuracy"},
    "translation": {"mae": "MAE", "mse": "MSE", "rmse": "√MSE", "fid": "FID", "kid": "KID"},
}
_BY_FRAME = {
    "segmentation": ("iou", "Frames by their mean IoU", 100, "%"),
    "translation": ("mae", "Frames by their mean absolute error", 1, ""),
}
_FIGURES = {"iou": ("mean IoU", percent), "pixel_accuracy": ("pixel accuracy", percent), "mae": ("MAE", number)}
_FLAT = {"truth", "labels", "errors"}
"""Pictures of few colors, which must not be blended."""


def save_html(
    path: Path,
    results: dict[str, Any],
    labels: LabelSet | None,
    examples: Mapping[str, Mapping[int, Mapping[str, np.ndarray]]],
) -> None:
    """Write the page of `results`, as `cen_model.evaluation.results` describes them.

    Args:
        labels: the classes with their colors; None in translation.
        examples: by heading and index of a frame, its images uint8 (H, W, 3) by title.
    """
    frames = {frame["index"]: frame for frame in results["frames"]}
    rows = {
        heading: [_row(frames[index], images) for index, images in group.items()] for heading, group in examples.items()
    }
    segmentation = _segmentation(results, labels) if results["task"] == "segmentation" else {"colors": {}}
    title = f"{Path(results['run']['weights']).name} on {results['data']['dataset']}"
    scores = results["scores"].values()
    columns = {
        key: name for key, name in COLUMNS[results["task"]].items() if any(each[key] is not None for each in scores)
    }
    save_page(
        path, PAGE, title=title, results=results, rows=rows, columns=columns, plots=_plots(results), **segmentation
    )


def most_confused(confusion: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    """The pairs of classes that cost most pixels: truth, label, share of the truth's pixels, pixels."""
    wrong = confusion * (1 - np.eye(*confusion.shape, dtype=confusion.dtype))
    names = (*classes, "void")  # the last, of the labels of groups alone
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSED]
    pairs = [divmod(int(place), confusion.shape[1]) for place in order if wrong.flat[place]]
    return [
        {
            "truth": classes[row],
            "label": names[column],
            "share": wrong[row, column] / confusion[row].sum(),
            "pixels": int(wrong[row, column]),
        }
        for row, column in pairs
    ]


def _segmentation(results: dict[str, Any], labels: LabelSet) -> dict[str, Any]:
    classes, confusion = results["classes"], np.array(results["confusion"]["ensemble"])
    truth = confusion.sum(1)
    shares = [[count / total if total else None for count in row] for row, total in zip(confusion, truth, strict=True)]
    iou = results["scores"]["ensemble"]["iou"]
    return {
        "colors": {name: color(np.array(rgb, np.uint8)) for name, rgb in zip(classes, labels.colors, strict=True)},
        "ranked": sorted(iou.items(), key=lambda item: -1.0 if item[1] is None else item[1], reverse=True),
        "unseen": [name for name, total in zip(classes, truth, strict=True) if not total and iou[name] is not None],
        "heat_map": plots.heat_map([row[: len(classes)] for row in shares], classes, confusion.tolist()),
        "confused": most_confused(confusion, classes),
    }


def _plots(results: dict[str, Any]) -> dict[str, str]:
    """SVG by title."""
    key, title, factor, unit = _BY_FRAME[results["task"]]
    values = [factor * frame[key] for frame in results["frames"] if frame[key] is not None]
    if len(values) < 2:
        return {}
    counts, edges = np.histogram(values, BINS)
    return {title: plots.histogram(edges.tolist(), counts.tolist(), unit)}


def _row(frame: dict[str, Any], images: Mapping[str, np.ndarray]) -> dict[str, Any]:
    figures = [f", {name} {told(frame[key])}" for key, (name, told) in _FIGURES.items() if key in frame]
    return {
        "index": frame["index"],
        "files": frame["files"],
        "figures": "".join(figures),
        "images": {title: picture(image, title not in _FLAT) for title, image in images.items()},
    }
