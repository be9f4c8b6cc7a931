# SPDX-License-Identifier: Apache-2.0
"""A frame to warm engines up with and to compare them on: a rendered room, with the holes of a depth sensor.

Axes: H W the sensor's pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import numpy as np

from cen_model.deploy.frame import Frame


def sample_frame(frame: Frame) -> tuple[np.ndarray, ...]:
    """Inputs of a frame, at its sensor's size, in the types that it takes, with every kind of hole."""
    inputs = inputs_of(frame.model.config.modalities, *sample_images(frame.config.sensor))
    return tuple(_with_holes(each.astype(np.float32)) if each.dtype == np.uint16 else each for each in inputs)


def _with_holes(depth_HW: np.ndarray) -> np.ndarray:
    """The room's own are 0; a backend that lets NaN through would spread it."""
    depth_HW[0, :3] = np.nan, np.inf, -1
    return depth_HW


def sample_images(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """RGB, uint8 (H, W, 3), and depth in millimeters, uint16 (H, W), of the size (H, W)."""
    with np.load(str(files("cen_model") / "weights" / "sample_frame.npz"), allow_pickle=False) as stored:
        images = stored["rgb"], stored["depth"]
    rows, columns = (np.arange(new) * old // new for old, new in zip(images[1].shape, size, strict=True))
    rgb, depth = (image[rows[:, None], columns] for image in images)
    return rgb, depth


def inputs_of(modalities: Sequence[str], rgb: np.ndarray, depth: np.ndarray) -> list[np.ndarray]:
    """What an engine is given of a frame: the images of its modalities, depth with how many of its unit make a meter.

    Args:
        rgb: uint8 (H, W, 3).
        depth: (H, W), uint16 in millimeters or float32 in meters.
    """
    per_meter = np.array([1000 if depth.dtype == np.uint16 else 1], np.float32)
    inputs = {"rgb": (rgb,), "depth": (depth, per_meter)}
    return [array for name in modalities for array in inputs[name]]
