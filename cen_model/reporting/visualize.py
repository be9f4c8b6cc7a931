# SPDX-License-Identifier: Apache-2.0
"""Pictures of RGB-D frames and their labels: colors, a grid with a class legend, an animation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cen_model.classes import color_table, palette
from cen_model.depth import is_measured, to_meters
from cen_model.utils.files import write_atomically

GAP = 8
BACKGROUND = (255, 255, 255)
INK = (40, 40, 40)


def colorize_labels(labels: np.ndarray, classes: int) -> np.ndarray:
    """Label ids uint8 (H, W) as uint8 (H, W, 3) RGB; every id that is no class (`VOID` among them) is black."""
    return color_table(classes)[labels]


def colorize_depth(depth: np.ndarray, nearest: float = 0.5, farthest: float = 6.0) -> np.ndarray:
    """Depth uint16 mm or float m (H, W) as uint8 (H, W, 3) RGB: near red, far blue (turbo), holes black."""
    nearness = (farthest - to_meters(depth)) / (farthest - nearest)
    gray = (np.clip(nearness, 0, 1) * 255).astype(np.uint8)
    colors = cv2.applyColorMap(gray, cv2.COLORMAP_TURBO)[..., ::-1].copy()
    colors[~is_measured(depth)] = 0
    return colors


def colorize(image: np.ndarray) -> np.ndarray:
    """An image of any modality as uint8 (H, W, 3) RGB; depth between the nearest and the farthest 2 % of it.

    Args:
        image: colors uint8 (H, W, 3), gray uint8 (H, W), or depth uint16 mm or float m (H, W).
    """
    if image.dtype != np.uint8:
        known = to_meters(image)[is_measured(image)]
        nearest, farthest = np.percentile(known, (2, 98)) if known.size else (0, 1)
        return colorize_depth(image, nearest, max(farthest, nearest + 1e-3))
    return np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image


def grid(
    titles: Sequence[str],
    rows: Sequence[Sequence[np.ndarray]],
    classes: Sequence[str],
    colors: Sequence[tuple[int, int, int]] | None = None,
) -> Image.Image:
    """Rows of equally large panels uint8 (H, W, 3) under their column titles, with a legend of class names below.

    Args:
        classes: names; none, and there is no legend.
        colors: RGB of each; None takes `palette`.
    """
    height, width = rows[0][0].shape[:2]
    font = ImageFont.load_default(max(10, width // 18))
    line = int(font.size * 1.8)
    total = GAP + len(titles) * (width + GAP)
    colors = palette(len(classes)).tolist() if colors is None else colors
    legend = _legend(classes, colors, total, font) if classes else Image.new("RGB", (total, 0))
    picture = Image.new("RGB", (total, line + len(rows) * (height + GAP) + legend.height), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    for column, title in enumerate(titles):
        x = GAP + column * (width + GAP)
        draw.text((x + width // 2, line // 2), title, INK, font, anchor="mm")
        for row, panels in enumerate(rows):
            picture.paste(Image.fromarray(panels[column]), (x, line + row * (height + GAP)))
    picture.paste(legend, (0, picture.height - legend.height))
    return picture


def _legend(
    classes: Sequence[str], colors: Sequence[Sequence[int]], width: int, font: ImageFont.FreeTypeFont
) -> Image.Image:
    """Color swatches with the class names beside them, in as many equal columns as fit into `width` pixels."""
    swatch, line = int(font.size), int(font.size * 1.8)
    cell = int(max(font.getlength(name) for name in classes)) + 2 * swatch + GAP
    columns = min(len(classes), max(1, (width - GAP) // cell))
    rows = -(-len(classes) // columns)
    columns = -(-len(classes) // rows)  # even rows
    pitch = (width - GAP) // columns
    picture = Image.new("RGB", (width, rows * line + GAP), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    for k, (name, color) in enumerate(zip(classes, colors, strict=True)):
        x, y = GAP + k % columns * pitch, k // columns * line + line // 2
        draw.rectangle((x, y - swatch // 2, x + swatch, y + swatch // 2), tuple(color))
        draw.text((x + swatch * 1.5, y), name, INK, font, anchor="lm")
    return picture


def panels(frame: Mapping[str, np.ndarray], classes: int) -> dict[str, np.ndarray]:
    """Return a labeled frame's images by title, each uint8 (H, W, 3): RGB, depth and truth where there are any, labels.

    Args:
        frame: "rgb", "depth", "truth" and "label", as arrays that `colorize_depth` and `colorize_labels` take.
        classes: their number.
    """
    draw = {
        "rgb": ("RGB", lambda image: image),
        "depth": ("depth", colorize_depth),
        "truth": ("truth", lambda labels: colorize_labels(labels, classes)),
        "label": ("labels", lambda labels: colorize_labels(labels, classes)),
    }
    return {title: paint(frame[kind]) for kind, (title, paint) in draw.items() if kind in frame}


def save_animation(path: Path, frames: Sequence[np.ndarray], rate: float, colors: int = 192) -> None:
    """Write uint8 (H, W, 3) frames as a GIF that repeats for ever at `rate` frames/s, atomically."""
    pictures = [Image.fromarray(frame) for frame in frames]
    shared = Image.fromarray(np.concatenate([frame[::4, ::4] for frame in frames])).quantize(colors)  # one for all
    indexed = [picture.quantize(palette=shared, dither=Image.Dither.NONE) for picture in pictures]
    options = {"save_all": True, "append_images": indexed[1:], "duration": round(1000 / rate), "loop": 0}
    write_atomically(path, lambda file: indexed[0].save(file, "GIF", **options))
