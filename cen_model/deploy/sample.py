# SPDX-License-Identifier: Apache-2.0
"""A frame to warm engines up with and to compare them on: a rendered room, with the holes of a depth sensor.

Axes: H W the sensor's pixels.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from cen_model.deploy.frame import Frame


def sample_frame(frame: Frame) -> tuple[np.ndarray, ...]:
    """Inputs of a frame, at its sensor's size."""
    rgb, depth = sample_images(frame.config.sensor)
    return tuple(
        each for name in frame.model.config.modalities for each in ((rgb,) if name == "rgb" else depth_inputs(depth))
    )


def sample_images(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """RGB, uint8 (H, W, 3), and depth in millimetres, uint16 (H, W), of the size (H, W)."""
    with np.load(str(files("cen_model") / "weights" / "sample_frame.npz"), allow_pickle=False) as stored:
        images = stored["rgb"], stored["depth"]
    rows, columns = (np.arange(new) * old // new for old, new in zip(images[1].shape, size, strict=True))
    rgb, depth = (image[rows[:, None], columns] for image in images)
    return rgb, depth


def depth_inputs(depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A depth image and how many of its unit make a metre: uint16 is in millimetres, float32 in metres."""
    per_metre = 1000 if depth.dtype == np.uint16 else 1
    return depth.astype(np.float32, copy=False), np.array([per_metre], np.float32)
