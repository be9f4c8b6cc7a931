# SPDX-License-Identifier: Apache-2.0
"""Modalities made of depth and color: planes and rooms whose geometry is known, and slow loops."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cen_model.data.catalog import open_dataset
from cen_model.data.data_config import DataConfig
from cen_model.data.derived import DERIVATIONS, UNKNOWN, Derived, derive
from cen_model.data.geometry import default_intrinsics, gravity, normals, rays
from helpers.paths import SHARED

SIZE = (48, 64)
CAMERA = np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]])
NYUDV2 = SHARED / "nyudv2"


def plane(normal, distance, size=SIZE, camera=CAMERA):
    """Depth (m) of the plane n · X = -distance, n pointing to the camera; 0 where it is not in front of it."""
    x, y = rays(size, camera)
    along = normal[0] * x + normal[1] * y + normal[2]
    with np.errstate(divide="ignore"):
        depth = -distance / along
    return np.where((depth > 0) & (depth < 50), depth, 0)


def unit(*values):
    return np.array(values) / np.linalg.norm(values)


def room(pitch):
    """A floor 1.2 m below a camera that looks down by `pitch` degrees, and a wall 3 m ahead; and "down"."""
    angle = np.radians(pitch)
    down = np.array([0, np.cos(angle), np.sin(angle)])
    ahead = np.array([0, -np.sin(angle), np.cos(angle)])
    floor, wall = plane(-down, 1.2), plane(-ahead, 3.0)
    both = np.where(floor == 0, wall, np.where(wall == 0, floor, np.minimum(floor, wall)))
    return both, down


@pytest.mark.parametrize("direction", [(0, 0, -1), (0.3, 0, -1), (0, -1, -0.5), (-0.5, 0.4, -1)])
def test_the_normals_of_a_plane(direction):
    normal = unit(*direction)
    found = normals(plane(normal, 2.0), CAMERA)
    known = np.abs(found).sum(2) > 0
    assert known.mean() > 0.3
    assert np.allclose(found[known], normal, atol=1e-6)


def test_holes_have_no_normal_and_do_not_bend_those_beside_them():
    depth = plane(unit(0.2, -0.3, -1), 2.0)
    depth[10:20, 20:30] = 0
    depth[30, :] = np.nan
    found = normals(depth, CAMERA)
    assert not found[10:20, 20:30].any() and not found[30].any()
    assert np.allclose(found[np.abs(found).sum(2) > 0], unit(0.2, -0.3, -1), atol=1e-6)


def test_normals_bear_depth_in_coarse_steps():
    depth = plane(unit(0.5, 0, -1), 2.0)
    coarse = np.rint(depth * 25.5) / 25.5
    found = normals(coarse, CAMERA, window=15)[8:-8, 8:-8]
    angles = np.degrees(np.arccos(np.clip(found @ unit(0.5, 0, -1), -1, 1)))
    assert np.median(angles) < 4


def fitted_at(depth, camera, row, column):
    """The plane (a, b, c) of a 5×5 window by another solver, and the variance of what it leaves."""
    window = np.s_[row - 2 : row + 3, column - 2 : column + 3]
    x, y = rays(depth.shape, camera)
    known = depth[window] > 0
    design = np.stack([x[window][known], y[window][known], np.ones(known.sum())], axis=1)
    plane = np.linalg.lstsq(design, 1 / depth[window][known], rcond=None)[0]
    return plane, np.mean((design @ plane - 1 / depth[window][known]) ** 2)


def test_normals_equal_the_best_of_nine_planes_fitted_at_every_pixel():
    random = np.random.default_rng(0)
    depth = 2 + random.random((20, 22)) * 0.05
    depth[:, 11:] += 1
    depth[random.random(depth.shape) < 0.2] = 0
    camera = np.array([[20.0, 0, 6], [0, 22.0, 5], [0, 0, 1]])
    found = normals(depth, camera, window=5)
    x, y = rays(depth.shape, camera)
    moved = 0
    for row in range(4, 16):
        for column in range(4, 18):
            if depth[row, column] == 0:
                continue
            here = np.array([x[row, column], y[row, column], 1])
            choices = []
            for dv, du in [(0, 0), *((dv, du) for dv in (-2, 0, 2) for du in (-2, 0, 2))]:
                plane, variance = fitted_at(depth, camera, row + dv, column + du)
                cost = variance + (plane @ here - 1 / depth[row, column]) ** 2 + (0.005 / depth[row, column]) ** 2
                choices.append((cost / 4 if not choices else cost, plane))
            best = min(choices, key=lambda choice: choice[0])[1]
            moved += best is not choices[0][1]
            assert np.allclose(found[row, column], -best / np.linalg.norm(best), atol=1e-6)
    assert 20 < moved < 120


def test_coarse_steps_make_no_terraces():
    """Where 8 bits stay on one step, a window fits exactly: it must not be preferred for that."""
    depth = plane(unit(0.2, 0, -1), 3.0)
    found = normals(np.rint(depth * 25.5) / 25.5, CAMERA, window=9)[6:-6, 6:-6]
    assert (np.abs(found[..., 0]) < 0.02).mean() < 0.01


def test_normals_stay_on_their_side_of_an_edge():
    """A slanted table before a wall: no pixel mixes the two, in windows of 11."""
    near, far = unit(0.3, -0.8, -1), unit(-0.4, 0, -1)
    depth = np.where(np.arange(64) < 30, plane(near, 1.0), plane(far, 3.0))
    found = normals(depth, CAMERA, window=11)
    known = depth > 0
    for side, normal in ((np.arange(64) < 30, near), (np.arange(64) >= 30, far)):
        angles = np.degrees(np.arccos(np.clip(found[known & side] @ normal, -1, 1)))
        assert angles.max() < 0.1


def test_depth_in_millimeters_is_the_same_depth():
    depth = np.rint(plane(unit(0.1, 0.2, -1), 2.0) * 1000)
    assert np.allclose(normals(depth.astype(np.uint16), CAMERA), normals(depth / 1000, CAMERA))


@pytest.mark.parametrize("pitch", [0, 10, 25])
def test_gravity_of_a_room_from_a_camera_that_looks_down(pitch):
    depth, down = room(pitch)
    found = gravity(normals(depth, CAMERA))
    assert np.degrees(np.arccos(np.clip(found @ down, -1, 1))) < 2


def test_hha_of_a_room():
    depth, down = room(15)
    image = derive("hha", {"depth": depth}, CAMERA).astype(float)
    x, y = rays(SIZE, CAMERA)
    height = 1.2 - depth * (x * down[0] + y * down[1] + down[2])
    known = depth > 0
    assert np.allclose(image[known][:, 0], np.clip(310 / depth[known], 0, 255), atol=0.51)
    assert np.median(np.abs(image[known][:, 1] - np.clip(height[known] * 100, 0, 255))) < 4
    floor, wall = known & (height < 0.02), known & (height > 0.3)
    assert np.median(image[floor][:, 2]) == pytest.approx(38, abs=3)  # its normal points up
    assert np.median(image[wall][:, 2]) == pytest.approx(128, abs=3)
    assert (image[~known] == UNKNOWN).all()


def test_height_of_a_camera_that_sees_no_floor():
    """The authors' rule: 1.3 m, unless something lies 0.9 m below it."""
    wall = plane(unit(0, 0, -1), 1.5)
    for depth, camera_cm in ((wall, 130), (wall * 2, 119)):  # at 3 m, 23.5 pixels below the center are 1.175 m
        image = derive("hha", {"depth": depth}, CAMERA)
        assert image[[23, 24], 30, 1].mean() == pytest.approx(camera_cm, abs=3)


def test_shade_is_the_cosine_to_the_camera():
    normal = unit(0.6, 0, -1)
    image = derive("shade", {"depth": plane(normal, 2.0)}, CAMERA)
    ray = unit((10 - 31.5) / 60, (20 - 23.5) / 60, 1)
    assert image[20, 10] == pytest.approx(-255 * normal @ ray, abs=1)


def test_edges_stand_where_depth_steps():
    depth = np.full(SIZE, 2.0)
    depth[:, 40:] = 2.5
    depth[5, 5] = 0
    image = derive("edge", {"depth": depth}, CAMERA)
    assert set(np.flatnonzero(image.any(0))) == {39, 40}
    assert image[10, 40] == image[10, 39] == pytest.approx(255 * (0.25 - 0.05) / (0.3 - 0.05), abs=1)
    assert image[0, 40] == image[10, 40] and derive("edge", {"depth": depth.T}, CAMERA)[40, 10] == image[10, 40]


def test_a_floor_seen_flatly_has_no_edges():
    depth = plane(unit(0, -1, -0.02), 0.3)  # a pixel's depth is up to twice that of the next
    assert (depth[:-1] / np.maximum(depth[1:], 1e-9)).max() > 1.5
    bottom = np.s_[np.flatnonzero(depth.all(1))[0] + 1 :]
    assert not derive("edge", {"depth": depth}, CAMERA)[bottom].any()


def test_a_step_beside_a_hole_is_that_to_the_other_side():
    depth = np.full(SIZE, 2.0)
    depth[:, 40:] = 3.5
    depth[:, 38] = 0  # the shadow of the pattern, say
    image = derive("edge", {"depth": depth}, CAMERA)
    assert set(np.flatnonzero(image.any(0))) == {39, 40} and image[7, 39] == 255


def test_texture_stands_where_brightness_changes():
    rgb = np.zeros((*SIZE, 3), np.uint8)
    rgb[:, 32:] = 200
    image = derive("texture", {"rgb": rgb}, CAMERA)
    assert image[:, 31:33].min() > 100 and not image[:, :26].any() and not image[:, 38:].any()


def test_the_camera_that_is_taken_where_none_is_known():
    full = default_intrinsics((480, 640))
    assert full[0, 0] == pytest.approx(518.857901) and full[1, 2] == pytest.approx(253.73617)
    assert np.allclose(default_intrinsics((240, 320))[:2], full[:2] / 2)


class Frames:
    """One frame of a plane."""

    modalities, labels = ("rgb", "depth"), None

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return {"rgb": np.zeros((*SIZE, 3), np.uint8), "depth": plane(unit(0, 0, -1), 2.0).astype(np.float32)}

    def describe(self, index):
        return "a plane"

    def intrinsics(self, index):
        return CAMERA


def test_a_dataset_gets_what_it_lacks():
    dataset = Derived(Frames(), ("rgb", "normal", "hha"))
    assert {"rgb", "depth", "normal", "hha"} == set(dataset.modalities) == set(dataset[0])
    assert (dataset[0]["normal"] == [128, 128, 0]).all(2).mean() > 0.9
    assert dataset.describe(0) == "a plane"


class Taskonomys(Frames):
    """The same plane, with its depth along the ray, too."""

    modalities = ("rgb", "depth", "zbuffer")

    def __getitem__(self, index):
        frame = super().__getitem__(index)
        v, u = np.indices(SIZE)
        along = np.sqrt(((u - 31.5) / 60) ** 2 + ((v - 23.5) / 60) ** 2 + 1)
        return {**frame, "depth": (2 * along).astype(np.float32), "zbuffer": frame["depth"]}


def test_surfaces_are_those_of_the_depth_along_the_axis_where_a_dataset_has_both():
    names = ("normal", "shade", "edge", "hha")
    made, expected = Derived(Taskonomys(), names)[0], Derived(Frames(), names)[0]
    assert all(np.array_equal(made[name], expected[name]) for name in names)


def test_what_cannot_be_derived_is_refused_with_what_can():
    with pytest.raises(ValueError, match="has no curvature: it has rgb, depth; of them can be made normal, shade"):
        Derived(Frames(), ("rgb", "curvature"))


@pytest.mark.skipif(not NYUDV2.is_dir(), reason="NYUDv2 is not beside the repository")
def test_a_real_room_stands_upright():
    """Most of NYUDv2's frames: the floor's class lies low and flat, walls stand."""
    dataset = open_dataset(DataConfig(dataset="nyudv2", root=NYUDV2), "test", ("rgb", "depth", "hha"))
    floor, wall = [], []
    for index in range(0, 60, 10):
        frame = dataset[index]
        for ids, angles in ((1, floor), (0, wall)):
            angles.append(frame["hha"][..., 2][frame["label"] == ids].astype(float))
    assert np.median(np.concatenate(floor)) < 60
    assert abs(np.median(np.concatenate(wall)) - 128) < 15


def test_every_derivation_gives_bytes_of_the_frames_size():
    frame = {
        "rgb": cv2.resize(np.eye(8, dtype=np.uint8)[..., None].repeat(3, 2) * 255, SIZE[::-1]),
        "depth": room(5)[0],
    }
    for name in DERIVATIONS:
        image = derive(name, frame)
        assert image.dtype == np.uint8 and image.shape[:2] == SIZE, name
