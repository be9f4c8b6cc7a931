# SPDX-License-Identifier: Apache-2.0
"""Writes synthetic rooms, or a recorded folder, as a bag: color, depth, camera_info, truth and TF. Needs no ROS.

    python -m cen_ros.tools.record_synthetic OUTPUT --frames 100 --storage mcap
    python -m cen_ros.tools.record_synthetic OUTPUT --folder /path/to/recording --rate 30

A folder is as `cen_ros.tools.play_folder` plays it, with pose/*.txt (4x4, camera to world) where there are poses.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track
from rosbags.typesys import Stores, get_typestore

from cen_model.utils.validation import POSITIVE
from cen_ros.bags.salvage import BagError
from cen_ros.bags.writer import STORAGES, BagWriter
from cen_ros.messages.camera_model import pinhole
from cen_ros.tools.camera_frames import (
    DEPTH_TOPIC,
    FRAME_ID,
    INFO_TOPIC,
    RGB_TOPIC,
    TRUTH_TOPIC,
    CameraFrame,
    FolderFrames,
    TourFrames,
    render_with_progress,
)

START_NS = 1_700_000_000 * 10**9
"""Stamp of the first frame: fixed, so that the same arguments give the same bag."""
WORLD_FRAME, BODY_FRAME = "map", "camera_link"
OPTICAL_IN_BODY = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""The optical frame (x right, y down, z forward) in the body's (x forward, y left, z up), by REP 103."""


class Recorder:
    """Writes frames into an open bag, each under one stamp, at which it is recorded as well."""

    def __init__(self, bag: BagWriter, rate: float):
        self.bag, self.rate = bag, rate
        self.types = get_typestore(Stores.ROS2_JAZZY).types

    def record(self, frames: Sequence[CameraFrame]) -> None:
        """Write all frames, with a progress bar."""
        self._transform("/tf_static", START_NS, BODY_FRAME, FRAME_ID, OPTICAL_IN_BODY)
        for k in track(range(len(frames)), description="writing frames"):
            self._write(frames[k], START_NS + round(k * 1e9 / self.rate))

    def _write(self, frame: CameraFrame, stamp: int) -> None:
        if frame.pose is not None:
            body = frame.pose @ np.linalg.inv(OPTICAL_IN_BODY)
            self._transform("/tf", stamp, WORLD_FRAME, BODY_FRAME, body)
        if frame.intrinsics is not None:
            info = self._camera_info(frame.intrinsics, frame.depth.shape, stamp)
            self.bag.add(f"/{INFO_TOPIC}", "sensor_msgs/msg/CameraInfo", info, stamp)
        self.bag.add_image(f"/{RGB_TOPIC}", frame.rgb, "rgb8", self._header(stamp), stamp)
        self.bag.add_image(f"/{DEPTH_TOPIC}", frame.depth, "16UC1", self._header(stamp), stamp)
        if frame.label is not None:
            self.bag.add_image(f"/{TRUTH_TOPIC}", frame.label, "mono8", self._header(stamp), stamp)

    def _make(self, name: str, *fields: Any) -> Any:
        """A message from the values of its fields in their order."""
        return self.types[name](*fields)

    def _header(self, stamp: int, frame_id: str = FRAME_ID) -> Any:
        return self._make(
            "std_msgs/msg/Header", self._make("builtin_interfaces/msg/Time", *divmod(stamp, 10**9)), frame_id
        )

    def _camera_info(self, intrinsics: np.ndarray, size: tuple[int, int], stamp: int) -> Any:
        """A pinhole camera without distortion."""
        everything = self._make("sensor_msgs/msg/RegionOfInterest", 0, 0, 0, 0, False)
        fields = (self._header(stamp), *size, "plumb_bob", *pinhole(intrinsics).values(), 0, 0, everything)
        return self._make("sensor_msgs/msg/CameraInfo", *fields)

    def _transform(self, topic: str, stamp: int, parent: str, child: str, pose: np.ndarray) -> None:
        place = self._make("geometry_msgs/msg/Vector3", *map(float, pose[:3, 3]))
        turn = self._make("geometry_msgs/msg/Quaternion", *map(float, quaternion(pose[:3, :3])))
        transform = self._make("geometry_msgs/msg/Transform", place, turn)
        stamped = self._make("geometry_msgs/msg/TransformStamped", self._header(stamp, parent), child, transform)
        self.bag.add(topic, "tf2_msgs/msg/TFMessage", self._make("tf2_msgs/msg/TFMessage", [stamped]), stamp)


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """float64 (4,) x y z w of unit length and w >= 0, from a rotation matrix (3, 3); also from one slightly off."""
    # The eigenvector of Bar-Itzhack's matrix: no case distinction, and the nearest rotation where R is not quite one.
    r = rotation
    K = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], r[1, 0] + r[0, 1], r[2, 0] + r[0, 2], r[2, 1] - r[1, 2]],
            [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], r[2, 1] + r[1, 2], r[0, 2] - r[2, 0]],
            [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], np.trace(r)],
        ]
    )
    vector = np.linalg.eigh(K)[1][:, -1]
    return vector if vector[3] >= 0 else -vector


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m cen_ros.tools.record_synthetic",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("output", type=Path, help="folder of the new bag")
    parser.add_argument("--folder", type=Path, help="record this folder instead of synthetic rooms")
    parser.add_argument("--frames", type=int, default=300, help="of synthetic rooms")
    parser.add_argument("--rate", type=float, default=10.0, help="frames per second")
    parser.add_argument("--rooms", type=int, default=6, help="that the camera visits, with seeds from --seed on")
    parser.add_argument("--seed", type=int, default=3_000_000, help="of the first room; far from those of training")
    parser.add_argument("--size", type=int, nargs=2, default=(240, 320), metavar=("H", "W"), help="of synthetic images")
    parser.add_argument("--storage", choices=sorted(STORAGES), default="mcap")
    parser.add_argument("--compression", choices=["none", "zstd"], default="none")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 if the bag is there, 1 if something was wrong with what was given, 130 if interrupted."""
    args = arguments(argv)
    try:
        if not POSITIVE.holds(args.rate):
            raise ValueError(f"--rate: expected frames per second above 0, got {args.rate:g}")
        bag = BagWriter(args.output, None if args.compression == "none" else args.compression, args.storage)
        if args.folder:
            frames = FolderFrames(args.folder)
        else:
            tour = {name: getattr(args, name) for name in ("seed", "frames", "rate", "size", "rooms")}
            frames = TourFrames(render_with_progress(**tour))
        with bag:
            Recorder(bag, args.rate).record(frames)
    except (BagError, OSError, ValueError) as error:
        print(f"record_synthetic: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; no bag was written", file=sys.stderr)
        return 130
    print(f"{args.output}: {len(frames)} frames at {args.rate:g} Hz")
    return 0


if __name__ == "__main__":
    sys.exit(main())
