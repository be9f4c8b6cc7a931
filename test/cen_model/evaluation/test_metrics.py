# SPDX-License-Identifier: Apache-2.0
"""Metrics against a slow count over pixels in plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from cen_model.classes import VOID
from cen_model.evaluation import score_tables
from cen_model.evaluation.metrics import ImageScores, Scores, confusion_matrix


def slow_scores(prediction: np.ndarray, truth: np.ndarray, classes: int) -> tuple[list[float], float, float, float]:
    """IoU per class, mean IoU, mean accuracy and pixel accuracy, by sets of pixels."""
    pixels = [i for i in range(truth.size) if truth.flat[i] != VOID]
    ious, accuracies = [], []
    for k in range(classes):
        said = {i for i in pixels if prediction.flat[i] == k}
        true = {i for i in pixels if truth.flat[i] == k}
        ious.append(len(said & true) / len(said | true) if said | true else math.nan)
        accuracies.append(len(said & true) / len(true) if true else math.nan)
    correct = sum(prediction.flat[i] == truth.flat[i] for i in pixels) / len(pixels)
    return ious, float(np.nanmean(ious)), float(np.nanmean(accuracies)), correct


@pytest.mark.parametrize("absent", [(), (0,), (1, 4)])
def test_scores_equal_a_slow_count(absent: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(absent))
    ids = [k for k in range(5) if k not in absent]
    truth = rng.choice([*ids, VOID], size=(6, 9, 11)).astype(np.uint8)
    # Mostly right, so that classes differ in score; class 0 may be predicted though the truth lacks it.
    prediction = np.where(rng.random(truth.shape) < 0.6, truth, rng.choice(np.uint8([0, *ids]), size=truth.shape))
    prediction[prediction == VOID] = ids[-1]

    prediction.flat[::37] = 77  # no class at all: wrong, and nobody's
    confusion = sum(confusion_matrix(truth[part], prediction[part], 5) for part in (slice(0, 2), slice(2, 6)))
    scores = Scores.of(confusion)

    ious, mean_iou, mean_accuracy, pixel_accuracy = slow_scores(prediction, truth, 5)
    assert scores.iou == pytest.approx(ious, nan_ok=True)
    assert scores.mean_iou == pytest.approx(mean_iou)
    assert scores.mean_accuracy == pytest.approx(mean_accuracy)
    assert scores.pixel_accuracy == pytest.approx(pixel_accuracy)


def test_iou_agrees_with_torchmetrics() -> None:
    rng = np.random.default_rng(3)
    truth = rng.choice([0, 1, 2, 3, VOID], size=(4, 8, 8)).astype(np.uint8)
    prediction = rng.integers(0, 4, truth.shape, np.uint8)
    metric = MulticlassJaccardIndex(4, average="none", ignore_index=VOID)
    expected = metric(torch.from_numpy(prediction), torch.from_numpy(truth).long())
    assert Scores.of(confusion_matrix(truth, prediction, 4)).iou == pytest.approx(expected.tolist())


def test_nothing_scored_is_no_number() -> None:
    scores = Scores.of(np.zeros((3, 4), np.int64))
    assert all(math.isnan(value) for value in (*scores.iou, scores.mean_iou, scores.pixel_accuracy))


def test_labels_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="the truth has 6x4 pixels; expected 3x2"):
        confusion_matrix(np.zeros((4, 6), np.uint8), np.zeros((2, 3), np.uint8), 5)


def test_scores_as_text_of_a_checkpoint() -> None:
    labels = {"ensemble": Scores((0.5, math.nan), 0.5, 0.25, 0.125)}
    assert score_tables.metadata(labels, ("wall", "floor"), "nyudv2 test, 654 frames") == {
        "measured_on": "nyudv2 test, 654 frames",
        "mean_iou.ensemble": "0.5000",
        "pixel_accuracy.ensemble": "0.1250",
        "class_iou": '{"ensemble": {"wall": 0.5, "floor": null}}',
    }
    images = {"shade": ImageScores(0.5, 0.36, 0.6), "ensemble": ImageScores(0.25, 0.09, 0.3, fid=60.9, kid=0.0156)}
    assert score_tables.metadata(images, (), "taskonomy") == {
        "measured_on": "taskonomy",
        **{"mae.shade": "0.5000", "mse.shade": "0.3600", "rmse.shade": "0.6000"},
        **{"mae.ensemble": "0.2500", "mse.ensemble": "0.0900", "rmse.ensemble": "0.3000"},
        **{"fid.ensemble": "60.9000", "kid.ensemble": "0.0156"},
    }
