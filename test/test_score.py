# SPDX-License-Identifier: Apache-2.0
"""The scorer's arithmetic and pairing, without ROS (cen_ros.score)."""

from __future__ import annotations

import numpy as np
import pytest

from cen_model.metrics import confusion_matrix
from cen_ros.score import PENDING, Score, in_words

KINDS = ("rgb", "depth", "truth", "label")
CLASSES = ("a", "b", "c", "d", "e")


def slow_iou(truth: np.ndarray, label: np.ndarray, c: int) -> float | None:
    """IoU of class c from sets of pixels; None where the class does not occur."""
    pixels = list(np.ndindex(truth.shape))
    true = {p for p in pixels if truth[p] == c}
    said = {p for p in pixels if label[p] == c and truth[p] != 255}
    return len(true & said) / len(true | said) if true | said else None


def test_frames_are_paired_by_exact_stamp_in_any_order():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 4, (3, 8, 9), dtype=np.uint8)
    label = rng.integers(0, 4, (3, 8, 9), dtype=np.uint8)
    score = Score(KINDS, CLASSES)
    stamps = [1_000_000_000, 1_000_000_001, 1_100_000_000]
    for i in (2, 0, 1):
        score.add("label", stamps[i], stamps[i] + (i + 1) * 10_000_000, label[i])
    for i in (1, 2, 0):
        for kind in ("rgb", "depth", "truth"):
            score.add(kind, stamps[i], stamps[i], truth[i])
    score.add("label", stamps[0], stamps[0] + 500_000_000, truth[0])  # a second one is not counted
    result = score.result()
    together = confusion_matrix(truth.reshape(24, 9), label.reshape(24, 9), len(CLASSES))
    np.testing.assert_array_equal(score.confusion, together)
    assert result["iou"]["e"] is None
    assert result["miou"] == pytest.approx(np.mean([slow_iou(truth, label, c) for c in range(4)]))
    assert result["latency_ms"] == pytest.approx({"median": 20.0, "p95": 29.0})
    assert (result["sent"], result["received"], result["labelled"], result["strays"]) == (3, 3, 3, 0)


def test_losses_and_wrong_stamps_are_counted():
    score = Score(KINDS, CLASSES)
    image = np.zeros((2, 2), np.uint8)
    for stamp in range(5):
        score.add("truth", stamp, stamp, image)
        if stamp != 3:
            score.add("rgb", stamp, stamp, image)
        if stamp != 4:
            score.add("depth", stamp, stamp, image)
    for stamp in (0, 1, 99):
        score.add("label", stamp, stamp, image)
    result = score.result()
    assert (result["sent"], result["received"], result["labelled"], result["strays"]) == (5, 3, 2, 1)
    assert score.whole == 2


def test_a_result_without_labels_has_no_numbers():
    result = Score(KINDS, CLASSES).result()
    assert result["miou"] is None
    assert result["latency_ms"] == {"median": None, "p95": None}


def test_of_a_bag_latency_counts_from_the_image_and_depth_may_be_missing():
    score = Score(("rgb", "truth", "label"), CLASSES, latency_since="image")
    image = np.zeros((2, 2), np.uint8)
    for stamp in range(4):  # of long ago
        arrival = 10**15 + stamp * 10**8
        score.add("truth", stamp, arrival, image)
        score.add("rgb", stamp, arrival, image)
        if stamp != 2:
            score.add("label", stamp, arrival + (stamp + 1) * 10**6, image)
    result = score.result()
    assert result["latency_ms"] == pytest.approx({"median": 2.0, "p95": 3.8})
    assert (result["sent"], result["received"], result["labelled"], score.whole) == (4, 4, 3, 3)
    assert in_words(result) == "mIoU 1.000, 3 of 4 frames labelled, latency 2 ms median, 4 ms p95"
    assert in_words(Score(("rgb", "label"), CLASSES).result()) == "0 of 0 frames labelled, no labels"


def test_frames_that_never_get_labels_are_let_go():
    score = Score(("rgb", "depth", "label"), CLASSES)
    for stamp in range(3 * PENDING):
        score.add("rgb", stamp, stamp, np.zeros((1, 1, 3), np.uint8))
    assert len(score._partial) == PENDING
    for kind in ("depth", "label"):
        score.add(kind, 3 * PENDING - 1, 3 * PENDING, np.zeros((1, 1), np.uint8))
    assert score.whole == 1
