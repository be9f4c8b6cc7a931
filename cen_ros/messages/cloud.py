# SPDX-License-Identifier: Apache-2.0
"""Depth, colors and labels of a frame as one organized PointCloud2.

H W: height and width of the depth image.
"""

from __future__ import annotations

import inspect
from array import array
from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from cen_model.depth import is_measured
from cen_ros.messages.images import nearest

# One point as it lies in the message: 21 bytes, padded to whole words. PCL takes labels for labels as uint32 alone.
POINT = np.dtype(
    {
        "names": ["x", "y", "z", "rgb", "label", "confidence"],
        "formats": ["<f4", "<f4", "<f4", "<f4", "<u4", "u1"],
        "offsets": [0, 4, 8, 12, 16, 20],
        "itemsize": 24,
    }
)
_DATATYPES = {
    np.dtype("<f4"): PointField.FLOAT32,
    np.dtype("<u4"): PointField.UINT32,
    np.dtype("u1"): PointField.UINT8,
}


class CloudMaker:
    """Makes the point clouds of one camera. Keeps what depends on its intrinsics and size alone; not thread-safe."""

    def __init__(self) -> None:
        self._camera: tuple | None = None
        # Every uint16 millimeter in meters: a table is faster than arithmetic and a mask.
        self._meters = (np.arange(65536) * 1e-3).astype(np.float32)
        self._meters[0] = np.nan

    def cloud(
        self,
        depth: np.ndarray,
        rgb: np.ndarray,
        labels: np.ndarray,
        confidence: np.ndarray | None,
        intrinsics: np.ndarray,
        header: Header,
    ) -> PointCloud2:
        """A point per pixel of the depth image, row by row, in the optical frame (x right, y down, z forward).

        The fields are x, y, z (float32, meters, NaN where depth has a hole), rgb (0x00RRGGBB as float32, as PCL has
        it), label (uint32) and confidence (uint8).

        Args:
            depth: (H, W), uint16 in millimeters or float32 in meters.
            rgb: uint8 (h, w, 3): the camera's image, or the labels' colors. This and the following may have another
                size than depth, and are then taken at the nearest pixel.
            labels: uint8 (h, w).
            confidence: uint8 (h, w), 255 being certain; None makes every point certain.
            intrinsics: (3, 3), of the depth image, in pixels.
            header: kept as it is; frame_id has to be the optical frame.
        """
        self._meet(depth.shape, intrinsics)
        points, z = self._points, self._depth_in_meters(depth)
        np.multiply(z, self._right, out=points["x"])
        np.multiply(z, self._down, out=points["y"])
        points["z"] = z
        # Bytes b g r 0 are 0x00RRGGBB in little-endian order. Alpha stays 0: with 255, a color could read as NaN.
        cv2.mixChannels([nearest(rgb, depth.shape)], [self._bgr0], [0, 2, 1, 1, 2, 0])
        points["rgb"] = self._bgr0.view("<f4")[..., 0]
        points["label"] = nearest(labels, depth.shape)
        points["confidence"] = 255 if confidence is None else nearest(confidence, depth.shape)
        return self._message(header)

    def _depth_in_meters(self, depth: np.ndarray) -> np.ndarray:
        """float32 (H, W), NaN in holes; overwritten by the next call."""
        if depth.dtype == np.uint16:
            return np.take(self._meters, depth, out=self._z, mode="clip")  # the default mode would buffer `out`
        self._z[:] = depth
        self._z[~is_measured(depth)] = np.nan
        return self._z

    def _meet(self, size: tuple[int, int], intrinsics: np.ndarray) -> None:
        """Prepare for a camera, where it is not the one before."""
        fx, fy, cx, cy = (float(intrinsics[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
        if self._camera == (size, fx, fy, cx, cy):
            return
        self._camera = (size, fx, fy, cx, cy)
        height, width = size
        self._right = ((np.arange(width) - cx) / fx).astype(np.float32)  # (W,)
        self._down = ((np.arange(height) - cy) / fy).astype(np.float32)[:, None]  # (H, 1)
        self._z = np.empty(size, np.float32)
        self._data = array("B", bytes(height * width * POINT.itemsize))
        self._points = np.frombuffer(self._data, POINT).reshape(size)  # the same memory
        self._bgr0 = np.zeros((*size, 4), np.uint8)

    def _message(self, header: Header) -> PointCloud2:
        """The points in a message of their own, through sensor_msgs_py where that is installed."""
        fields = [
            PointField(name=name, offset=offset, datatype=_DATATYPES[kind], count=1)
            for name, (kind, offset) in POINT.fields.items()
        ]
        create_cloud = _create_cloud()
        if create_cloud:
            # Flat, with the size set below: it takes (W, H) for the shape of an organized cloud.
            msg = create_cloud(header, fields, self._points.reshape(-1), POINT.itemsize)
        else:
            msg = PointCloud2(header=header, fields=fields, point_step=POINT.itemsize, is_dense=False)
            msg.data = self._data  # rclpy copies it, unless it checks the fields (always on Humble)
            if msg.data is self._data:
                msg.data = self._data[:]
        msg.height, msg.width = self._points.shape
        msg.row_step = msg.width * msg.point_step
        return msg


@cache
def _create_cloud() -> Callable[..., PointCloud2] | None:
    """sensor_msgs_py's function, where it is installed and can pad points (Humble's cannot)."""
    try:
        from sensor_msgs_py.point_cloud2 import create_cloud
    except ImportError:
        return None
    return create_cloud if "point_step" in inspect.signature(create_cloud).parameters else None
