# SPDX-License-Identifier: Apache-2.0
"""Publishes a recorded folder (color/*.jpg, depth/*.png in uint16 mm, intrinsics.txt) as an RGB-D camera does."""

from __future__ import annotations

from pathlib import Path

from cen_ros.declaration import declared
from cen_ros.tools.camera_frames import FolderFrames
from cen_ros.tools.synthetic_camera import Camera, run


def recorded_frames(camera: Camera) -> FolderFrames:
    """The frames of the folder that the node's parameter `folder` names."""
    return FolderFrames(Path(declared(camera, "folder", "")))


def main() -> None:
    """The node `folder_camera`; parameters folder, and those of `Camera`."""
    run("folder_camera", recorded_frames)


if __name__ == "__main__":
    main()
