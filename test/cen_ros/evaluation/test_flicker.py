# SPDX-License-Identifier: Apache-2.0
"""Steadiness of labels against per-pixel loops and a scene whose geometry is known (cen_ros.evaluation)."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from cen_ros.bags.reader import Bag
from cen_ros.bags.topics import choose
from cen_ros.bags.writer import BagWriter
from cen_ros.evaluation.camera_poses import TOLERANCE_NS, Geometry, Transforms
from cen_ros.evaluation.flicker import View, plain, warped
from cen_ros.evaluation.source import Frame, PairingConfig, Source
from cen_ros.evaluation.tally import Tally
from cen_ros.tools.camera_frames import CameraFrame
from cen_ros.tools.record_synthetic import Recorder

SIZE = (48, 64)
K = np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]])


def pose(x=0.0, z=0.0, yaw=0.0):
    """A camera at (x, 0, z), turned by `yaw` about its vertical axis."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, 0, sin, x], [0, 1, 0, 0], [-sin, 0, cos, z], [0, 0, 0, 1]])


def scene(camera, dtype=np.uint16):
    """Two walls (z = 3 m, and z = 2 m for x < -0.3 m) of painted tiles, 0.4 m wide, seen by a pinhole camera."""
    rows, columns = np.indices(SIZE)
    rays = np.stack([(columns - K[0, 2]) / K[0, 0], (rows - K[1, 2]) / K[1, 1], np.ones(SIZE)], -1) @ camera[:3, :3].T
    reach = {wall: (wall - camera[2, 3]) / rays[..., 2] for wall in (2.0, 3.0)}
    near = camera[0, 3] + reach[2.0] * rays[..., 0] < -0.3
    t = np.where(near, reach[2.0], reach[3.0])
    points = camera[:3, 3] + t[..., None] * rays
    tiles = np.floor(points[..., :2] / 0.4).astype(int)
    labels = ((tiles[..., 0] * 3 + tiles[..., 1] * 5 + 4 * near) % 13).astype(np.uint8)
    depth = t  # the rays have z = 1 in the camera, so t is the depth along its axis
    return labels, (depth * 1000).round().astype(np.uint16) if dtype == np.uint16 else depth.astype(np.float32)


def slow_warped(before, now):
    """The same by loops over pixels, in meters, with scalars."""
    changed = compared = 0
    to_before = np.linalg.inv(before.pose) @ now.pose
    meters = [view.depth / 1000 if view.depth.dtype == np.uint16 else view.depth for view in (before, now)]
    for row, column in np.ndindex(now.labels.shape):
        z = float(meters[1][row, column])
        if not (np.isfinite(z) and z > 0):
            continue
        ray = [(column - now.intrinsics[0, 2]) / now.intrinsics[0, 0], (row - now.intrinsics[1, 2]) / K[1, 1], 1.0]
        x, y, far, _ = to_before @ [ray[0] * z, ray[1] * z, z, 1.0]
        if far <= 0:
            continue
        u = round(before.intrinsics[0, 0] * x / far + before.intrinsics[0, 2])
        v = round(before.intrinsics[1, 1] * y / far + before.intrinsics[1, 2])
        if not (0 <= u < SIZE[1] and 0 <= v < SIZE[0]):
            continue
        there = float(meters[0][v, u])
        if not (np.isfinite(there) and there > 0) or abs(there - far) > 0.05 or abs(there - far) > 0.05 * far:
            continue
        compared += 1
        changed += before.labels[v, u] != now.labels[row, column]
    return changed, compared


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_labels_that_stick_to_a_still_scene_do_not_flicker_when_they_are_warped(dtype):
    cameras = [pose(), pose(x=0.25, z=0.1, yaw=0.05)]
    views = [View(*scene(camera, dtype), K, camera) for camera in cameras]
    apparent = plain(views[0].labels, views[1].labels)
    real = warped(*views)
    assert apparent.changed / apparent.compared > 0.3
    assert real.changed / real.compared < 0.06, "only pixels on the border of a tile, by rounding"
    assert 0.7 < real.compared / real.seen < 0.95, "what is hidden or left the image is not compared"

    wrong = warped(views[0], View(views[1].labels, views[1].depth, K, cameras[0]))
    assert wrong.changed / wrong.compared > 0.3, "the pose matters"


@pytest.mark.parametrize("seed", range(3))
def test_warping_is_that_of_a_loop_over_pixels(seed):
    rng = np.random.default_rng(seed)
    views = []
    for camera in (pose(), pose(x=0.1 * seed - 0.1, z=0.15, yaw=0.03 * seed)):
        _, depth = scene(camera, np.float32)
        depth[rng.random(SIZE) < 0.2] = rng.choice([0, np.nan, np.inf, -1, 9], 1)
        k = K + np.diag([seed, 0, 0])
        views.append(View(rng.integers(0, 4, SIZE, dtype=np.uint8), depth, k, camera))
    change = warped(*views)
    assert (change.changed, change.compared) == slow_warped(*views)
    assert change.seen == SIZE[0] * SIZE[1]


def test_random_labels_change_as_often_as_chance_says():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, (2, 480, 640), dtype=np.uint8)
    k = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    depth = np.full((480, 640), 2000, np.uint16)
    views = [View(labels[0], depth, k, pose()), View(labels[1], depth, k, pose(x=0.1))]
    for change in (plain(*labels), warped(*views)):
        assert change.changed / change.compared == pytest.approx(4 / 5, abs=0.005)


def test_something_that_moved_in_front_is_not_compared():
    labels, depth = scene(pose())
    nearer = depth.copy()
    nearer[:, :32] -= 60  # 6 cm
    change = warped(View(labels, depth, K, pose()), View(labels, nearer, K, pose()))
    assert change.compared <= SIZE[0] * 32 + SIZE[0]
    assert warped(View(labels, depth, K, pose()), View(labels, depth, K, pose())) == (0, labels.size, labels.size)


def test_no_depth_compares_nothing():
    labels, depth = scene(pose())
    view = View(labels, np.zeros_like(depth), K, pose())
    assert warped(view, view) == (0, 0, labels.size)


def message(*transforms):
    """A TFMessage of (parent, child, stamp ns, (x, y, z), (qx, qy, qz, qw))."""
    made = []
    for parent, child, stamp, shift, turn in transforms:
        header = SimpleNamespace(frame_id=parent, stamp=SimpleNamespace(sec=stamp // 10**9, nanosec=stamp % 10**9))
        transform = SimpleNamespace(
            translation=SimpleNamespace(**dict(zip("xyz", shift, strict=True))),
            rotation=SimpleNamespace(**dict(zip("xyzw", turn, strict=True))),
        )
        made.append(SimpleNamespace(header=header, child_frame_id=child, transform=transform))
    return SimpleNamespace(transforms=made)


def about_z(degrees):
    half = np.radians(degrees) / 2
    return (0.0, 0.0, float(np.sin(half)), float(np.cos(half)))


NONE = (0.0, 0.0, 0.0, 1.0)
SECOND = 10**9


def robot():
    """map → odom → base → optical; base drives 1 m/s and turns by 10 °/s, the camera is 0.2 m above it."""
    transforms = Transforms()
    transforms.add(message(("base", "optical", 0, (0, 0, 0.2), (-0.5, 0.5, -0.5, 0.5))), static=True)
    for i in (0, 2, 1, 3):  # one comes late
        turn = np.array(about_z(i)) * (-1) ** i  # q and -q in turn
        transforms.add(message(("odom", "base", i * SECOND // 10, (0.1 * i, 0, 0), turn)), static=False)
        transforms.add(message(("/map", "/odom", i * SECOND // 10, (5, 0, 0), NONE)), static=False)
    return transforms


def test_a_pose_is_the_product_of_the_chain_between_two_samples():
    transforms = robot()
    assert transforms.fixed_frame("/optical") == "odom"
    angle = np.radians(1.5)
    base = np.array(
        [[np.cos(angle), -np.sin(angle), 0, 0.15], [np.sin(angle), np.cos(angle), 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )
    optical = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0.2], [0, 0, 0, 1]])
    for fixed, away in (("odom", 0), ("map", 5)):
        expected = base @ optical
        expected[0, 3] += away
        np.testing.assert_allclose(transforms.pose("optical", fixed, 3 * SECOND // 20), expected, atol=1e-6)


def test_a_pose_is_not_guessed_far_from_the_samples():
    transforms = robot()
    last = 3 * SECOND // 10
    np.testing.assert_allclose(transforms.pose("optical", "odom", last + TOLERANCE_NS)[:3, 3], (0.3, 0, 0.2))
    assert transforms.pose("optical", "odom", last + TOLERANCE_NS + 1) is None
    assert transforms.pose("optical", "odom", -TOLERANCE_NS - 1) is None


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ([("mount", "camera", True)], None),
        ([("world", "camera", True)], "world"),
        ([("robot1/odom", "base", False), ("base", "camera", True), ("map", "robot1/odom", False)], "robot1/odom"),
        ([("kinect_start", "base", False), ("base", "camera", True)], "kinect_start"),
        ([("a", "camera", False), ("camera", "a", False)], "a"),
        ([], None),
    ],
)
def test_the_frame_that_stands_still_is_found(edges, expected):
    transforms = Transforms()
    for parent, child, static in edges:
        transforms.add(message((parent, child, 0, (0, 0, 0), NONE)), static)
    assert transforms.fixed_frame("camera") == expected


def test_a_transform_that_is_no_pose_is_left_out():
    transforms = robot()
    before = transforms.pose("optical", "odom", SECOND // 10)
    transforms.add(message(("odom", "base", SECOND // 10, (np.nan, 0, 0), NONE)), static=False)
    transforms.add(message(("odom", "base", SECOND // 10, (0, 0, 0), (0, 0, 0, 0))), static=False)
    np.testing.assert_array_equal(transforms.pose("optical", "odom", SECOND // 10), before)


def test_what_was_recorded_with_its_poses_does_not_flicker(tmp_path):
    """Poses go into TF and back out of it; the labels are the scene's own."""
    cameras = [pose(x=0.06 * i, z=0.03 * i, yaw=0.02 * i) for i in range(5)]
    seen = [scene(camera) for camera in cameras]
    rgb = np.zeros((*SIZE, 3), np.uint8)
    frames = [CameraFrame(rgb, depth, K, labels, camera) for (labels, depth), camera in zip(seen, cameras, strict=True)]
    with BagWriter(tmp_path / "drive") as bag:
        Recorder(bag, rate=10.0).record(frames)
    with Bag(tmp_path / "drive") as bag:
        streams = choose(bag)
        tally = Tally(13, Geometry(bag, streams.info), truthful=False)
    frames = [each for each in Source(bag.path, streams, PairingConfig(0)).events() if isinstance(each, Frame)]
    for frame, (labels, _) in zip(frames, seen, strict=True):
        tally.frame(frame, labels)
    shares = {name: change.changed / change.compared for name, change in tally.flicker.items()}
    assert shares["warped"] < 0.06 < 0.15 < shares["plain"]
    assert tally.flicker["warped"].seen == 4 * SIZE[0] * SIZE[1]


def test_transforms_of_a_robot_with_a_name_are_found():
    """Below the robot's namespace, or without a slash as ROS 1 had them."""
    moving = {"/spot/tf": ("odom", "base", SECOND, (1, 0, 0), NONE), "tf": ("odom", "base", SECOND, (1, 0, 0), NONE)}
    fixed = message(("base", "camera", 0, (0, 0, 2), NONE))
    info = SimpleNamespace(header=fixed.transforms[0].header, k=K.ravel(), p=np.zeros(12), height=48, width=64)
    info.roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    for name, transform in moving.items():
        said = {name: message(transform), f"{name}_static": fixed, "/info": info}
        topics = {each: SimpleNamespace(type="tf2_msgs/msg/TFMessage" * (each != "/info")) for each in said}
        read = lambda names, said=said: (SimpleNamespace(topic=each, message=said[each]) for each in names)  # noqa: E731
        geometry = Geometry(SimpleNamespace(topics=topics, messages=read), "/info")
        np.testing.assert_array_equal(geometry.camera("camera", SECOND, SIZE)[1][:3, 3], (1, 0, 2))


def test_frames_far_apart_or_out_of_order_are_not_compared():
    geometry = SimpleNamespace(camera=lambda *args: None)
    tally = Tally(13, geometry, truthful=False)
    stamps = [0, SECOND // 10, 3 * SECOND, SECOND, SECOND, 2 * SECOND]
    for i, stamp in enumerate(stamps):
        labels = np.full(SIZE, i, np.uint8)
        tally.frame(Frame(SimpleNamespace(frame_id="camera"), stamp, stamp, labels, labels), labels)
    assert tally.series["plain"] == [None, 1.0, None, None, None, 1.0]
