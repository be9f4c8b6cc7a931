# SPDX-License-Identifier: Apache-2.0
"""Synthetic rooms and folders as bags (cen_ros.tools.record_synthetic)."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed")
pytest.importorskip("trimesh", reason="scenes need trimesh: pip install '.[sim]'")
from cen_model.scenes.scene_dataset import render_trajectory
from cen_ros.bags.reader import Bag
from cen_ros.bags.topics import choose
from cen_ros.messages.images import image_to_array
from cen_ros.tools.record_synthetic import main, quaternion

RATE, SIZE = 5.0, (24, 32)
TOUR = ["--frames", "5", "--rooms", "2", "--rate", str(RATE), "--size", *map(str, SIZE), "--seed", "5"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Rooms are rendered once for this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def rotation(q) -> np.ndarray:
    """The matrix of a quaternion, column by column: what it turns the axes into, q v q* by Hamilton's product."""

    def times(a, b):
        (ax, ay, az, aw), (bx, by, bz, bw) = a, b
        return (
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        )

    q = (q.x, q.y, q.z, q.w)
    conjugate = (-q[0], -q[1], -q[2], q[3])
    return np.array([times(times(q, (*axis, 0)), conjugate)[:3] for axis in np.eye(3)]).T


def matrix(transform) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = rotation(transform.rotation)
    pose[:3, 3] = transform.translation.x, transform.translation.y, transform.translation.z
    return pose


def stamp_ns(header) -> int:
    return header.stamp.sec * 10**9 + header.stamp.nanosec


@pytest.mark.parametrize("storage", [("sqlite3", "none"), ("mcap", "zstd")])
def test_a_bag_holds_the_frames_their_truth_and_where_the_camera_was(tmp_path, cache, storage):
    path = tmp_path / "bag"
    assert main([str(path), *TOUR, "--storage", storage[0], "--compression", storage[1]]) == 0
    expected = [*render_trajectory(5, 3, RATE, SIZE), *render_trajectory(6, 2, RATE, SIZE)]
    with Bag(path) as bag:
        streams = choose(bag)
        by_topic = {name: list(bag.messages([name])) for name in bag.topics}
        assert bag.damage is None
        assert bag.topics["/tf_static"].latched
    (fixed,) = by_topic.pop("/tf_static")
    assert {name: len(messages) for name, messages in by_topic.items()} == dict.fromkeys(by_topic, 5)
    optical = fixed.message.transforms[0]
    assert (optical.header.frame_id, optical.child_frame_id) == ("camera_link", "camera_color_optical_frame")
    for k, frame in enumerate(expected):
        rgb, depth, info, truth, tf = (
            by_topic[name][k] for name in (streams.rgb, streams.depth, streams.info, streams.truth, "/tf")
        )
        stamp = 1_700_000_000 * 10**9 + round(k / RATE * 1e9)
        for each in (rgb, depth, info, truth):
            assert (each.receive_ns, stamp_ns(each.message.header)) == (stamp, stamp)
            assert each.message.header.frame_id == optical.child_frame_id
        np.testing.assert_array_equal(image_to_array(rgb.message), frame.rgb)
        np.testing.assert_array_equal(image_to_array(depth.message), frame.depth)
        np.testing.assert_array_equal(image_to_array(truth.message)[..., 0], frame.label)
        np.testing.assert_array_equal(info.message.k.reshape(3, 3), frame.intrinsics)
        assert (info.message.height, info.message.width) == SIZE
        (body,) = tf.message.transforms
        assert (body.header.frame_id, body.child_frame_id) == ("map", "camera_link")
        assert stamp_ns(body.header) == stamp
        found = matrix(body.transform) @ matrix(optical.transform)
        np.testing.assert_allclose(found, frame.pose, atol=1e-12)
    assert rotation(body.transform.rotation)[2, 2] > 0.5  # the link is upright, as REP 103 has it


def test_the_same_arguments_give_the_same_bag(tmp_path, cache):
    for name in ("a", "b"):
        assert main([str(tmp_path / name / "bag"), *TOUR, "--storage", "mcap"]) == 0
    assert (tmp_path / "a/bag/bag.mcap").read_bytes() == (tmp_path / "b/bag/bag.mcap").read_bytes()


@pytest.mark.parametrize("poses", [False, True])
def test_a_folder_is_recorded(tmp_path, poses):
    rng = np.random.default_rng(3)
    folder = tmp_path / "folder"
    for name in ("color", "depth", "pose"):
        (folder / name).mkdir(parents=True)
    color = rng.integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)
    depth = rng.integers(0, 2**16, (2, *SIZE), dtype=np.uint16)
    pose = np.eye(4)[[2, 0, 1, 3]]
    pose[:3, 3] = 1.5, -2, 0.25
    for k in range(2):
        cv2.imwrite(str(folder / f"color/{k}.png"), color[k, ..., ::-1])
        cv2.imwrite(str(folder / f"depth/{k}.png"), depth[k])
        if poses:
            np.savetxt(folder / f"pose/{k}.txt", pose)
    assert main([str(tmp_path / "bag"), "--folder", str(folder), "--rate", "30"]) == 0
    with Bag(tmp_path / "bag") as bag:
        streams = choose(bag)
        assert (streams.info, streams.truth) == (None, None)
        assert ("/tf" in bag.topics) == poses
        np.testing.assert_array_equal([image_to_array(m.message) for m in bag.messages([streams.rgb])], color)
        np.testing.assert_array_equal([image_to_array(m.message) for m in bag.messages([streams.depth])], depth)
        assert bag.duration_ns == 33_333_333
        if poses:
            body, optical = (next(bag.messages([name])).message.transforms[0] for name in ("/tf", "/tf_static"))
            np.testing.assert_allclose(matrix(body.transform) @ matrix(optical.transform), pose, atol=1e-12)


def test_quaternions_of_all_turns():
    rng = np.random.default_rng(4)
    for q in (*rng.normal(size=(50, 4)), *np.eye(4), *-np.eye(4), (1, 1, 0, 0), (0.5, -0.5, 0.5, -0.5)):
        q = np.array(q) / np.linalg.norm(q)
        names = dict(zip("xyzw", q, strict=True))
        found = quaternion(rotation(type("Quaternion", (), names)))
        assert found[3] >= 0
        assert abs(found @ q) == pytest.approx(1)


def test_what_is_wrong_is_said(tmp_path, capsys):
    assert main([str(tmp_path), *TOUR]) == 1
    assert f"{tmp_path}: exists already" in capsys.readouterr().err
    assert main([str(tmp_path / "bag"), "--folder", str(tmp_path)]) == 1
    assert "expected a folder with color images in color/" in capsys.readouterr().err
    for rate in ("0", "nan", "inf"):
        assert main([str(tmp_path / "bag"), "--rate", rate]) == 1
        assert f"--rate: expected frames per second above 0, got {rate}" in capsys.readouterr().err
    assert main([str(tmp_path / "bag"), "--frames", "0"]) == 1
    assert "0 frames" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_recording_needs_neither_ros_nor_torch():
    code = "import sys, cen_ros.tools.record_synthetic; sys.exit(str({'rclpy', 'torch'} & sys.modules.keys() or ''))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert not done.stderr.strip(), done.stderr
