# SPDX-License-Identifier: Apache-2.0
"""RGB-D frames to publish or to record: a tour of synthetic rooms, or a recorded folder. Needs no ROS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.progress import Progress

from cen_model.scenes.tour import Tour, render_tour

RGB_TOPIC = "camera/color/image_raw"
DEPTH_TOPIC = "camera/aligned_depth_to_color/image_raw"
INFO_TOPIC = "camera/color/camera_info"
TRUTH_TOPIC = "camera/label"
FRAME_ID = "camera_color_optical_frame"


@dataclass(frozen=True)
class CameraFrame:
    """What a camera sees at one moment."""

    rgb: np.ndarray
    """uint8 (H, W, 3)"""
    depth: np.ndarray
    """uint16 mm (H, W), 0 = hole"""
    intrinsics: np.ndarray | None
    """float64 (3, 3), where it is known"""
    label: np.ndarray | None = None
    """The truth, uint8 (H, W), where it is known"""
    pose: np.ndarray | None = None
    """float64 (4, 4), from the camera (x right, y down, z forward) to the world, where it is known"""


class TourFrames(Sequence[CameraFrame]):
    """The frames of a rendered tour."""

    def __init__(self, tour: Tour):
        self.tour = tour

    def __len__(self) -> int:
        return len(self.tour.rgb)

    def __getitem__(self, i: int) -> CameraFrame:
        tour = self.tour
        return CameraFrame(tour.rgb[i], tour.depth[i], tour.intrinsics[i], tour.label[i], tour.pose[i])


def render_with_progress(**tour) -> Tour:
    """`render_tour(**tour)` with a progress bar."""
    with Progress() as bars:
        bar = bars.add_task("rendering frames", total=tour["frames"])
        return render_tour(**tour, advance=lambda frames: bars.advance(bar, frames))


class FolderFrames(Sequence[CameraFrame]):
    """
    The frames of a folder, in the order of the file names; color (color/*.jpg or .png), depth (depth/*.png, uint16 mm)
    and pose (pose/*.txt, 4x4) belong together by their stem. Without an intrinsics.txt (3x3) there is no camera_info;
    poses may be missing.

    Raises ValueError where the folder has no such pairs or a file is not what it should be.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.color = sorted(path for path in folder.glob("color/*") if path.suffix in (".jpg", ".png"))
        self.depth = [folder / "depth" / f"{path.stem}.png" for path in self.color]
        if not self.color:
            raise ValueError(f"{folder}: expected a folder with color images in color/ (.jpg or .png), found none")
        missing = [path for path in self.depth if not path.exists()]
        if missing:
            raise ValueError(f"{missing[0]}: no depth image for the color image of that name ({len(missing)} missing)")
        file = folder / "intrinsics.txt"
        self.intrinsics = _matrix(file, 3) if file.exists() else None

    def __len__(self) -> int:
        return len(self.color)

    def __getitem__(self, i: int) -> CameraFrame:
        bgr = cv2.imread(str(self.color[i]), cv2.IMREAD_COLOR)
        depth = cv2.imread(str(self.depth[i]), cv2.IMREAD_UNCHANGED)
        if bgr is None:
            raise ValueError(f"{self.color[i]}: not an image that OpenCV can read")
        if depth is None or depth.dtype != np.uint16 or depth.ndim != 2:
            raise ValueError(f"{self.depth[i]}: expected a 16-bit gray PNG in millimeters")
        file = self.folder / "pose" / f"{self.color[i].stem}.txt"
        pose = _matrix(file, 4) if file.exists() else None
        return CameraFrame(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), depth, self.intrinsics, pose=pose)


def _matrix(file: Path, size: int) -> np.ndarray:
    """float64 (size, size)"""
    try:
        matrix = np.loadtxt(file)
    except ValueError as error:
        raise ValueError(f"{file}: expected {size}x{size} numbers ({error})") from error
    if matrix.shape != (size, size):
        raise ValueError(f"{file}: expected {size}x{size} numbers, got {'x'.join(map(str, matrix.shape))}")
    return matrix
