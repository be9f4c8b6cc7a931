# SPDX-License-Identifier: Apache-2.0
"""Publishes a recorded folder (color/*.jpg, depth/*.png in uint16 mm, intrinsics.txt) as an RGB-D camera does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from cen_ros.camera import Camera, CameraFrame, run


class FolderFrames(Sequence[CameraFrame]):
    """
    The frames of a folder, in the order of the file names; colour and depth belong together by their stem.
    Without an intrinsics.txt (3x3) there is no camera_info.

    Raises ValueError where the folder has no such pairs or a file is not what it should be.
    """

    def __init__(self, folder: Path):
        self.color = sorted(path for path in folder.glob("color/*") if path.suffix in (".jpg", ".png"))
        self.depth = [folder / "depth" / f"{path.stem}.png" for path in self.color]
        if not self.color:
            raise ValueError(f"{folder}: expected a folder with colour images in color/ (.jpg or .png), found none")
        missing = [path for path in self.depth if not path.exists()]
        if missing:
            raise ValueError(f"{missing[0]}: no depth image for the colour image of that name ({len(missing)} missing)")
        file = folder / "intrinsics.txt"
        self.intrinsics = np.loadtxt(file) if file.exists() else None

    def __len__(self) -> int:
        return len(self.color)

    def __getitem__(self, i: int) -> CameraFrame:
        bgr = cv2.imread(str(self.color[i]), cv2.IMREAD_COLOR)
        depth = cv2.imread(str(self.depth[i]), cv2.IMREAD_UNCHANGED)
        if bgr is None:
            raise ValueError(f"{self.color[i]}: not an image that OpenCV can read")
        if depth is None or depth.dtype != np.uint16 or depth.ndim != 2:
            raise ValueError(f"{self.depth[i]}: expected a 16-bit grey PNG in millimetres")
        return CameraFrame(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), depth, self.intrinsics)


def recorded_frames(camera: Camera) -> FolderFrames:
    """The frames of the folder that the node's parameter `folder` names."""
    return FolderFrames(Path(camera.declare_parameter("folder", "").value))


def main() -> None:
    """The node `folder_camera`; parameters folder, and those of `Camera`."""
    run("folder_camera", recorded_frames)


if __name__ == "__main__":
    main()
