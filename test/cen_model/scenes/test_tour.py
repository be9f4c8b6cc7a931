# SPDX-License-Identifier: Apache-2.0
"""A tour's division into rooms, and its cache (cen_model.scenes.tour)."""

from __future__ import annotations

import numpy as np
import pytest

from cen_model.scenes.scene_dataset import render_trajectory
from cen_model.scenes.tour import plan, render_tour


def test_frames_are_divided_evenly_over_rooms():
    stays = plan(seed=7, frames=11, rate=5.0, size=(24, 32), rooms=4)
    assert [stay.seed for stay in stays] == [7, 8, 9, 10]
    assert sorted(stay.frames for stay in stays) == [2, 3, 3, 3]
    assert len(plan(seed=7, frames=2, rate=5.0, size=(24, 32), rooms=4)) == 2
    with pytest.raises(ValueError, match="0 frames"):
        plan(seed=7, frames=0, rate=5.0, size=(24, 32), rooms=4)


def test_a_second_tour_comes_from_the_cache_and_other_arguments_do_not(tmp_path):
    first = render_tour(7, 3, 5.0, (24, 32), rooms=1, folder=tmp_path)
    for frame, rgb, depth in zip(render_trajectory(7, 3, 5.0, (24, 32)), first.rgb, first.depth, strict=True):
        np.testing.assert_array_equal(rgb, frame.rgb)
        np.testing.assert_array_equal(depth, frame.depth)
    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    ready = []
    again = render_tour(7, 3, 5.0, (24, 32), rooms=1, folder=tmp_path, advance=ready.append)
    assert ready == [3]
    assert file.stat().st_mtime_ns == written
    np.testing.assert_array_equal(again.label, first.label)
    render_tour(7, 3, 6.0, (24, 32), rooms=1, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_room_is_rendered_again(tmp_path):
    first = render_tour(7, 2, 5.0, (24, 32), rooms=1, folder=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-200])
    again = render_tour(7, 2, 5.0, (24, 32), rooms=1, folder=tmp_path)
    np.testing.assert_array_equal(again.rgb, first.rgb)
    assert np.load(file)["rgb"].shape == first.rgb.shape
