# SPDX-License-Identifier: Apache-2.0
"""Synthetic scenes: geometry against closed forms, the same bits in any process, the depth model, the cache."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import fields

import cv2
import numpy as np
import pytest

from cen_model.classes import NYU13
from cen_model.scenes import frame_cache, scene_dataset
from cen_model.scenes.items import CEILING, FLOOR, PICTURE, WALL, box
from cen_model.scenes.materials import decal
from cen_model.scenes.raycast import Caster
from cen_model.scenes.virtual_camera import Camera, intrinsics, look_at
from helpers.paths import REPOSITORY

SMALL = (60, 80)
SEEDS = (3, 8)


@pytest.fixture(scope="module", params=SEEDS)
def frame(request) -> scene_dataset.Frame:
    return scene_dataset.render_scene(request.param)


@pytest.fixture(scope="module")
def walk() -> list[scene_dataset.Frame]:
    return list(scene_dataset.render_trajectory(5, 12, rate=10.0, size=SMALL))


def _digest(frame: scene_dataset.Frame) -> str:
    return hashlib.sha256(b"".join(getattr(frame, f.name).tobytes() for f in fields(frame))).hexdigest()


def _points(frame: scene_dataset.Frame) -> np.ndarray:
    """Camera-frame points (H, W, 3) back-projected by hand from z depth."""
    k, z = frame.intrinsics, frame.z_depth.astype(np.float64)
    rows, columns = np.indices(z.shape)
    return np.stack([(columns - k[0, 2]) / k[0, 0] * z, (rows - k[1, 2]) / k[1, 1] * z, z], axis=-1)


def _is_planar(frame: scene_dataset.Frame) -> np.ndarray:
    """Pixels around which 1/z is affine over 5 pixels both ways, as it is on a plane."""
    inverse, planar = 1 / frame.z_depth.astype(np.float64), np.ones(frame.label.shape, bool)
    for axis in (0, 1):
        bend = np.abs(np.roll(inverse, 1, axis) + np.roll(inverse, -1, axis) - 2 * inverse) < 1e-6
        planar &= bend & np.roll(bend, 1, axis) & np.roll(bend, -1, axis)
    planar[:2] = planar[-2:] = planar[:, :2] = planar[:, -2:] = False
    return planar


def test_empty_room_agrees_with_closed_form():
    """A 4 × 5 × 2.5 m box room seen from inside: each ray leaves through the nearest of six planes."""
    material = decal(np.ones((2, 2, 3), np.float32))
    room = np.array([4.0, 5.0, 2.5])
    parts = []
    for axis in range(3):
        for end in (0, 1):
            size, center = room + 1, room / 2
            size[axis], center[axis] = 0.2, room[axis] * end + (0.1 if end else -0.1)
            label = WALL if axis < 2 else (CEILING if end else FLOOR)
            parts.append(box(label, material, size, center))
    caster = Caster(parts)
    camera = Camera(intrinsics(SMALL, 0.8), look_at(np.array([1.0, 1.5, 1.4]), np.array([3.5, 4.0, 0.8]), roll=0.1))
    origins, directions = camera.rays(SMALL)
    hits = caster.cast(origins, directions)

    d, o = directions.astype(np.float64), origins.astype(np.float64)
    exits = np.where(d > 0, (room - o) / d, -o / d)
    axis = exits.argmin(axis=1)
    upward = d[np.arange(len(d)), axis] > 0
    expected = np.where(axis < 2, WALL, np.where(upward, CEILING, FLOOR))
    second, first = np.sort(exits, axis=1)[:, 1], exits.min(axis=1)
    clear = second - first > 1e-4  # in a corner either plane is right
    np.testing.assert_allclose(hits.distance, first, rtol=1e-5)
    np.testing.assert_array_equal(caster.labels[hits.part][clear], expected[clear])
    inward = np.where(upward, -1.0, 1.0)[:, None] * np.eye(3)[axis]
    np.testing.assert_allclose(hits.normals[clear], inward[clear], atol=1e-5)


def test_floor_and_ceiling_lie_on_their_planes(frame):
    """Back-projected through intrinsics and pose: the floor at height 0 (rugs are 8 mm), the ceiling at one height."""
    world = _points(frame) @ frame.pose[:3, :3].T + frame.pose[:3, 3]
    floor, ceiling = world[frame.label == FLOOR][:, 2], world[frame.label == CEILING][:, 2]
    assert len(floor) + len(ceiling) > 500
    assert floor.size == 0 or (floor.min() > -1e-3 and floor.max() < 9e-3)
    assert ceiling.size == 0 or (ceiling.min() > 2.3 and np.ptp(ceiling) < 2e-3)
    np.testing.assert_allclose(frame.pose[:3, :3] @ frame.pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(frame.pose[:3, :3]) == pytest.approx(1)


def test_euclidean_depth_is_the_length_of_the_back_projected_point(frame):
    np.testing.assert_allclose(frame.euclidean_depth, np.linalg.norm(_points(frame), axis=-1), rtol=1e-5)


def test_normals_agree_with_finite_differences(frame):
    points = _points(frame)
    across, down = np.gradient(points, axis=1), np.gradient(points, axis=0)
    normals = np.cross(down, across)  # towards the camera: x right, y down, z forward
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    cosine = (normals * frame.normals).sum(-1)[_is_planar(frame)]
    assert cosine.size > 0.2 * frame.label.size
    assert np.quantile(cosine, 0.01) > 0.999
    np.testing.assert_allclose(np.linalg.norm(frame.normals, axis=-1), 1, atol=1e-4)


def test_types_and_ranges(frame):
    shape = frame.label.shape
    expected = {"rgb": (np.uint8, 3), "depth": (np.uint16, 0), "label": (np.uint8, 0), "albedo": (np.uint8, 3)}
    for f in fields(frame):
        array = getattr(frame, f.name)
        if f.name in ("intrinsics", "pose"):
            assert array.dtype == np.float64
            continue
        dtype, channels = expected.get(f.name, (np.float32, 3 if f.name == "normals" else 0))
        assert array.dtype == dtype, f.name
        assert array.shape == (shape + ((channels,) if channels else ())), f.name
        assert np.isfinite(array).all(), f.name
    for name in ("shading", "occlusion_edges", "texture_edges"):
        assert 0 <= getattr(frame, name).min() <= getattr(frame, name).max() <= 1, name
    assert frame.label.max() < len(NYU13)


def test_measured_depth_is_a_hole_or_within_the_noise_model(frame):
    """Noise is at most 4 × 0.0022 z² m, quantization half of 0.0028 z² m."""
    z, measured = frame.z_depth.astype(np.float64), frame.depth / 1000.0
    valid = frame.depth > 0
    noise = 4 * 0.0022 * z**2
    bound = noise + 1.1 * 0.0014 * (z + noise) ** 2 + 1e-3
    assert valid.mean() > 0.6
    assert (np.abs(measured - z)[valid] <= bound[valid]).all()
    assert np.abs(measured - z)[valid].mean() > 1e-3


def test_depth_error_grows_with_range_and_holes_gather_at_edges():
    frames = [scene_dataset.render_scene(seed) for seed in (1, 4, 6)]
    z = np.concatenate([f.z_depth.ravel() for f in frames])
    depth = np.concatenate([f.depth.ravel() for f in frames])
    edge = np.concatenate([f.occlusion_edges.ravel() for f in frames]) > 0.3
    error = np.abs(depth / 1000.0 - z)
    near, far = (depth > 0) & (z < 1.5), (depth > 0) & (z > 3.5)
    assert error[far].mean() > 3 * error[near].mean()
    assert (depth[edge] == 0).mean() > 4 * (depth[~edge] == 0).mean()
    assert (depth[z > 8] == 0).all()


def test_pictures_show_in_color_alone():
    """Where wall meets picture there is texture but hardly a step in depth."""
    occlusion, texture, plain = [], [], []
    for seed in range(30, 40):
        frame = scene_dataset.render_scene(seed)
        neighbors = cv2.dilate((frame.label == PICTURE).astype(np.uint8), np.ones((3, 3))) > 0
        border = neighbors & (frame.label == WALL)
        occlusion.append(frame.occlusion_edges[border])
        texture.append(frame.texture_edges[border])
        plain.append(frame.texture_edges[(frame.label == WALL) & ~border])
    occlusion, texture, plain = (np.concatenate(a) for a in (occlusion, texture, plain))
    assert occlusion.size > 500
    assert (occlusion < 0.05).mean() > 0.9
    assert texture.mean() > 2 * plain.mean()


def test_every_class_occurs_often():
    counts = sum(
        np.bincount(scene_dataset.render_scene(s, SMALL).label.ravel(), minlength=13) for s in range(1000, 1040)
    )
    share = counts / counts.sum()
    assert (share > 0.008).all(), dict(zip(NYU13, share.round(4).tolist(), strict=True))
    assert share.max() < 0.5


def test_a_fresh_process_renders_the_same_bits_without_torch():
    code = (
        "import sys; sys.path[:0] = ['test', 'test/cen_model/scenes'];"
        "from test_synthetic import _digest, scene_dataset;"
        f"print(_digest(scene_dataset.render_scene({SEEDS[0]})), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [_digest(scene_dataset.render_scene(SEEDS[0])), "False"]


def test_seeds_differ():
    assert _digest(scene_dataset.render_scene(1, SMALL)) != _digest(scene_dataset.render_scene(2, SMALL))


def test_cache_returns_what_was_rendered_and_replaces_a_damaged_file(tmp_path):
    scenes = scene_dataset.SyntheticScenes(range(7, 9), SMALL, tmp_path)
    first = scenes[1]
    (path,) = tmp_path.rglob("*.npz")
    written = path.stat().st_mtime_ns
    again = scenes[1]
    assert path.stat().st_mtime_ns == written
    plain = scene_dataset.SyntheticScenes(range(7, 9), SMALL, None)[1]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    repaired = scenes[1]
    assert path.read_bytes() == whole
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 0xFF
    path.write_bytes(flipped)
    for other in (again, plain, repaired, scenes[1]):
        assert {k: (v.dtype, v.tobytes()) for k, v in other.items()} == {
            k: (v.dtype, v.tobytes()) for k, v in first.items()
        }
    assert list(tmp_path.rglob("*.tmp")) == []
    assert len(scenes) == 2


def test_cache_depends_on_size_and_renderer(tmp_path, monkeypatch):
    path = frame_cache.scene_path(tmp_path, 1, SMALL)
    assert path != frame_cache.scene_path(tmp_path, 1, (120, 160))
    monkeypatch.setattr(frame_cache, "renderer_version", lambda: "another")
    assert path != frame_cache.scene_path(tmp_path, 1, SMALL)


def test_prerender_fills_the_cache_in_parallel(tmp_path):
    scene_dataset.prerender(range(3), SMALL, tmp_path, workers=2)
    assert len(list(tmp_path.rglob("*.npz"))) == 3
    stored = frame_cache.read(frame_cache.scene_path(tmp_path, 2, SMALL))
    np.testing.assert_array_equal(stored["depth"], scene_dataset.render_scene(2, SMALL).depth)


def test_trajectory_is_smooth_and_moves(walk):
    poses = np.stack([f.pose for f in walk])
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    turns = np.einsum("nij,nij->n", poses[:-1, :3, :3], poses[1:, :3, :3])
    degrees = np.degrees(np.arccos(np.clip((turns - 1) / 2, -1, 1)))
    assert len(walk) == 12
    assert 1e-3 < steps.max() < 0.08
    assert 0.1 < degrees.max() < 4
    jolts = np.linalg.norm(np.diff(poses[:, :3, 3], n=2, axis=0), axis=1)
    assert jolts.max() < 0.01


def test_trajectory_stays_in_one_room_and_sees_many_classes():
    frames = list(scene_dataset.render_trajectory(5, 8, rate=0.2, size=SMALL))
    seen = np.unique(np.concatenate([np.unique(f.label) for f in frames]))
    assert len(seen) >= 8
    assert min(f.z_depth.min() for f in frames) > 0.15
    again = next(iter(scene_dataset.render_trajectory(5, 1, rate=0.2, size=SMALL)))
    assert _digest(again) == _digest(frames[0])
