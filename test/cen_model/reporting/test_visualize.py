# SPDX-License-Identifier: Apache-2.0
"""Colors, the table of frames and the animation, read back with Pillow."""

from __future__ import annotations

import numpy as np
from PIL import Image

from cen_model.classes import NYU13, VOID, LabelSet, palette
from cen_model.reporting.visualize import colorize, colorize_depth, colorize_labels
from cen_ros.tools.demo_pictures import ROWS, WIDTH, save_pictures


def test_labels_have_the_palette_and_everything_else_is_black():
    labels = np.array([[0, 12], [13, VOID]], np.uint8)
    expected = [[palette(13)[0], palette(13)[12]], [(0, 0, 0), (0, 0, 0)]]
    np.testing.assert_array_equal(colorize_labels(labels, 13), expected)


def test_depth_is_red_near_blue_far_and_black_in_holes_in_both_units():
    millimeters = np.array([[0, 600, 5900]], np.uint16)
    meters = np.array([[np.nan, 0.6, 5.9]], np.float32)
    hole, near, far = colorize_depth(millimeters)[0].astype(int)
    assert hole.tolist() == [0, 0, 0]
    assert near[0] > 2 * max(near[1:])
    assert far[2] > far[0]
    np.testing.assert_array_equal(colorize_depth(meters), colorize_depth(millimeters))
    np.testing.assert_array_equal(colorize_depth(np.array([[np.inf, -1]], np.float32)), np.zeros((1, 2, 3)))


def test_label_sets_have_their_own_colors_and_everything_else_is_black():
    table = LabelSet(("floor", "wall"), ((1, 2, 3), (200, 0, 0))).table()
    assert table.dtype == np.uint8 and table[:2].tolist() == [[1, 2, 3], [200, 0, 0]]
    assert table.shape == (256, 3) and not table[2:].any()


def test_images_of_every_modality_become_colors():
    colors = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    np.testing.assert_array_equal(colorize(colors), colors)
    np.testing.assert_array_equal(colorize(colors[..., 0]), colors[..., [0, 0, 0]])
    street = np.linspace(20, 80, 100, dtype=np.float32).reshape(10, 10)
    street[0, 0] = np.inf
    image = colorize(street).astype(int)
    assert not image[0, 0].any() and image[0, 5, 0] > 2 * image[0, 5, 2] and image[9, 9, 2] > image[9, 9, 0]
    assert not colorize(np.zeros((4, 5), np.uint16)).any()


def test_pictures_hold_what_was_seen(tmp_path):
    rng = np.random.default_rng(0)
    size, count = (120, 160), 20
    labels = np.zeros((count, *size), np.uint8)
    labels[:, :60] = np.arange(count)[:, None, None] % 13
    rgb = np.broadcast_to(rng.integers(0, 256, (count, 1, 1, 3), dtype=np.uint8), (count, *size, 3)).copy()
    depth = np.full(size, 2000, np.uint16)
    frames = [{"rgb": rgb[i], "depth": depth, "truth": labels[i], "label": labels[i]} for i in range(count)]
    save_pictures(tmp_path, frames, NYU13)

    with Image.open(tmp_path / "frames.png") as table:
        pixels = np.asarray(table.convert("RGB"))
    assert pixels.shape[1] > 4 * size[1]
    assert pixels.shape[0] > ROWS * size[0]
    colors = {tuple(color) for color in pixels.reshape(-1, 3).tolist()}
    assert {tuple(color) for color in palette(13).tolist()} <= colors  # the legend
    assert len(colors & {tuple(color) for color in rgb[:, 0, 0].tolist()}) == ROWS

    with Image.open(tmp_path / "demo.gif") as animation:
        assert animation.n_frames == count
        assert animation.size == (3 * WIDTH, WIDTH * 3 // 4)
        animation.seek(7)
        frame = np.asarray(animation.convert("RGB")).astype(int)
    assert np.abs(frame[78, WIDTH // 2] - rgb[7, 0, 0]).max() < 32
    assert np.abs(frame[20, WIDTH * 5 // 2] - palette(13)[7]).max() < 32


def test_no_frames_make_no_pictures(tmp_path):
    save_pictures(tmp_path, [], NYU13)
    assert list(tmp_path.iterdir()) == []
