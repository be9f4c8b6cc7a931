# SPDX-License-Identifier: Apache-2.0
"""Contact sheets: everything a frame holds, side by side as colors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from cen_model.classes import NYU13, palette
from cen_model.scenes.renderer import Frame
from cen_model.utils.files import write_atomically

GAP = 4


def depth_colors(depth_mm: np.ndarray, far_mm: float = 6000.0) -> np.ndarray:
    """uint8 (H, W, 3) RGB: near is bright, far is dark, holes are black."""
    scaled = (255 * (1 - np.clip(depth_mm / far_mm, 0, 1) * 0.9)).astype(np.uint8)
    colors = cv2.applyColorMap(scaled, cv2.COLORMAP_VIRIDIS)[..., ::-1]
    return np.where((depth_mm > 0)[..., None], colors, 0).astype(np.uint8)


def row(frame: Frame) -> np.ndarray:
    """rgb | depth | label | normals | shading | albedo | edges (occlusion red, texture green) of one frame."""
    gray = (np.repeat(frame.shading[..., None], 3, axis=2) * 255).astype(np.uint8)
    normals = ((frame.normals * (1, -1, -1) + 1) * 127.5).astype(np.uint8)
    edges = np.stack([frame.occlusion_edges, frame.texture_edges, frame.occlusion_edges * 0], axis=-1)
    tiles = [frame.rgb, depth_colors(frame.depth), palette(len(NYU13))[frame.label], normals, gray, frame.albedo]
    tiles.append((edges * 255).astype(np.uint8))
    return np.concatenate([np.pad(t, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for t in tiles], axis=1)


def contact_sheet(frames: Sequence[Frame]) -> np.ndarray:
    """One `row` per frame, uint8 (rows, columns, 3) RGB."""
    return np.concatenate([row(frame) for frame in frames], axis=0)


def write_png(path: Path, image: np.ndarray) -> None:
    """Write RGB `image`, whole or not at all."""
    data = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    write_atomically(path, lambda file: file.write_bytes(data))
