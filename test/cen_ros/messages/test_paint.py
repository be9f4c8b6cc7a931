# SPDX-License-Identifier: Apache-2.0
"""Drawings, masks and unlabeled pixels against loops over pixels."""

from __future__ import annotations

import numpy as np
import pytest

from cen_model.classes import palette
from cen_model.reporting.visualize import colorize_labels
from cen_ros.messages.paint import Painter, mask, with_unlabeled

RNG = np.random.default_rng(0)
SIZE = (7, 9)
RGB = RNG.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
LABELS = RNG.choice(np.array([0, 1, 4, 12, 13, 200, 255], np.uint8), SIZE)


def pixels(size=SIZE):
    return np.ndindex(size)


def test_colors_are_the_palettes_and_black_elsewhere():
    got = Painter(13).color(LABELS)
    assert got.dtype == np.uint8
    for i in pixels():
        assert got[i].tolist() == (palette(13)[LABELS[i]].tolist() if LABELS[i] < 13 else [0, 0, 0])


@pytest.mark.parametrize("classes", [1, 13, 40, 255])
def test_colors_are_those_of_the_projects_pictures(classes):
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(Painter(classes).color(every), colorize_labels(every, classes))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_overlay_blends_where_there_is_a_label(alpha):
    got = Painter(13).overlay(RGB, LABELS, alpha)
    assert got.dtype == np.uint8
    for i in pixels():
        if LABELS[i] < 13:
            expected = (1 - alpha) * RGB[i] + alpha * palette(13)[LABELS[i]]
            assert np.abs(got[i] - expected).max() <= 0.51
        else:
            np.testing.assert_array_equal(got[i], RGB[i])


def test_overlay_leaves_the_image_alone_and_takes_views_of_messages():
    rgba = np.concatenate([RGB, RGB[..., :1]], 2)
    view = rgba[..., :3]  # what an rgba8 message gives
    view.flags.writeable = False
    before = rgba.copy()
    got = Painter(13).overlay(view, LABELS, 0.5)
    np.testing.assert_array_equal(got, Painter(13).overlay(RGB, LABELS, 0.5))
    np.testing.assert_array_equal(rgba, before)


@pytest.mark.parametrize("ids", [(), (4,), (0, 12, 255)])
def test_mask(ids):
    got = mask(LABELS, ids)
    assert got.dtype == np.uint8
    assert all(got[i] == (255 if LABELS[i] in ids else 0) for i in pixels())


HOLES = [
    (np.array([[0, 1, 65535]], np.uint16), [0, 1, 1]),
    (np.array([[0, -0.5, np.nan, np.inf, -np.inf, 1e-3, 90]], np.float32), [0, 0, 0, 0, 0, 1, 1]),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("depth", "expected"), HOLES)
def test_holes_of_depth_are_unlabeled(depth, expected):
    labels = np.full(depth.shape, 3, np.uint8)
    got = with_unlabeled(labels, depth)
    assert got.dtype == np.uint8
    assert got[0].tolist() == [3 if known else 255 for known in expected]
    assert (labels == 3).all(), "what was given is not written to"


@pytest.mark.parametrize("least", [0.2, 0.5, 0.7, 1.0, 1 / 255])
def test_less_confident_pixels_are_unlabeled(least):
    confidence = np.arange(256, dtype=np.uint8).reshape(16, 16)
    got = with_unlabeled(np.full((16, 16), 3, np.uint8), None, confidence, least)
    assert got.dtype == np.uint8
    for i in pixels((16, 16)):
        assert got[i] == (255 if int(confidence[i]) < least * 255 else 3)


def test_both_reasons_add_up_and_without_a_reason_nothing_is_copied():
    depth = np.array([[0, 5, 5]], np.uint16)
    confidence = np.array([[255, 10, 255]], np.uint8)
    labels = np.array([[1, 2, 3]], np.uint8)
    assert with_unlabeled(labels, depth, confidence, 0.5).tolist() == [[255, 255, 3]]
    assert with_unlabeled(labels) is labels
    assert with_unlabeled(labels, None, confidence, 0.0) is labels
    assert with_unlabeled(labels, None, None, 0.5) is labels
