# SPDX-License-Identifier: Apache-2.0
"""Flat images made of a few shapes, linear float32 (h, w, 3): pictures, views out of windows, what screens show."""

from __future__ import annotations

import cv2
import numpy as np

from cen_model.scenes.materials import any_color, hsv

Rng = np.random.Generator
H, W = 72, 96


def _canvas(top, bottom) -> np.ndarray:
    t = np.linspace(0, 1, H)[:, None, None]
    return np.ascontiguousarray(np.broadcast_to((1 - t) * top + t * bottom, (H, W, 3)), np.float32)


def _fill_below(image: np.ndarray, line: np.ndarray, color: np.ndarray) -> None:
    image[np.arange(H)[:, None] > line[None]] = color


def _hills(rng: Rng, image: np.ndarray, horizon: float, colors) -> None:
    x = np.linspace(0, 1, W)
    for k, color in enumerate(colors):
        waves = sum(rng.uniform(1, 4) / f * np.sin(2 * np.pi * f * x + rng.uniform(0, 6.3)) for f in (1, 2, 5))
        _fill_below(image, H * (horizon + 0.12 * k) + 1.5 * waves, color)


def landscape(rng: Rng) -> np.ndarray:
    hue = rng.random()
    image = _canvas(hsv(hue, 0.5, 0.9), hsv(hue + rng.uniform(0.05, 0.4), 0.3, 0.95))
    center = (int(rng.integers(10, W - 10)), int(rng.integers(8, H // 2)))
    sun = hsv(rng.uniform(0.05, 0.17), 0.4, 1.0).tolist()
    cv2.circle(image, center, int(rng.integers(4, 11)), sun, -1, cv2.LINE_AA)
    _hills(rng, image, rng.uniform(0.4, 0.6), [any_color(rng) for _ in range(int(rng.integers(2, 5)))])
    return image


def blocks(rng: Rng) -> np.ndarray:
    """Rectangles with dark lines between them."""
    image = _canvas(any_color(rng), any_color(rng))
    for _ in range(int(rng.integers(4, 10))):
        x, y = int(rng.integers(0, W)), int(rng.integers(0, H))
        corner = (x + int(rng.integers(12, 50)), y + int(rng.integers(10, 40)))
        cv2.rectangle(image, (x, y), corner, any_color(rng).tolist(), -1)
        cv2.rectangle(image, (x, y), corner, (0.01, 0.01, 0.01), 2)
    return image


def circles(rng: Rng) -> np.ndarray:
    image = _canvas(any_color(rng), any_color(rng))
    for _ in range(int(rng.integers(4, 12))):
        center = (int(rng.integers(0, W)), int(rng.integers(0, H)))
        thickness = int(rng.choice([-1, -1, 3]))
        cv2.circle(image, center, int(rng.integers(5, 26)), any_color(rng).tolist(), thickness, cv2.LINE_AA)
    return image


def portrait(rng: Rng) -> np.ndarray:
    image = _canvas(any_color(rng), any_color(rng))
    skin, x = hsv(rng.uniform(0.04, 0.09), rng.uniform(0.3, 0.6), rng.uniform(0.4, 0.95)), W // 2
    cv2.ellipse(image, (x, H), (30, 26), 0, 0, 360, any_color(rng).tolist(), -1, cv2.LINE_AA)
    cv2.ellipse(image, (x, 30), (17, 22), 0, 0, 360, any_color(rng).tolist(), -1, cv2.LINE_AA)
    cv2.ellipse(image, (x, 34), (13, 17), 0, 0, 360, skin.tolist(), -1, cv2.LINE_AA)
    return image


def poster(rng: Rng) -> np.ndarray:
    """A shape and lines of print."""
    image = _canvas(any_color(rng), any_color(rng))
    ink = any_color(rng).tolist()
    cv2.circle(image, (W // 2, H // 3), int(rng.integers(10, 20)), any_color(rng).tolist(), -1, cv2.LINE_AA)
    for y in range(H * 2 // 3, H - 6, 6):
        half = int(rng.integers(15, 40))
        cv2.rectangle(image, (W // 2 - half, y), (W // 2 + half, y + 2), ink, -1)
    return image


def picture(rng: Rng) -> np.ndarray:
    makers = (landscape, blocks, circles, portrait, poster)
    image = makers[int(rng.integers(len(makers)))](rng)
    if rng.random() < 0.15:
        image[:] = image.mean(axis=2, keepdims=True)
    return np.clip(image, 0, 1)


def view(rng: Rng) -> np.ndarray:
    """Sky over trees or houses, by day or by night."""
    if rng.random() < 0.2:
        image = _canvas(hsv(0.63, 0.6, 0.12), hsv(0.65, 0.4, 0.3))
        _houses(rng, image, 0.12, lights=True)
        return image
    image = _canvas(hsv(0.58, rng.uniform(0.1, 0.5), 1.0), hsv(0.56, 0.08, 1.0))
    if rng.random() < 0.5:
        _houses(rng, image, 0.6, lights=False)
    greens = [hsv(rng.uniform(0.2, 0.4), rng.uniform(0.3, 0.6), rng.uniform(0.4, 0.7)) for _ in range(2)]
    _hills(rng, image, rng.uniform(0.55, 0.75), greens)
    return image


def _houses(rng: Rng, image: np.ndarray, value: float, lights: bool) -> None:
    x = 0
    while x < W:
        width, top = int(rng.integers(10, 26)), int(rng.integers(H // 4, H * 3 // 4))
        color = hsv(rng.random(), 0.2, value * rng.uniform(0.7, 1.3)).tolist()
        cv2.rectangle(image, (x, top), (x + width, H), color, -1)
        if lights:
            image[top + 4 : H : 8, x + 3 : x + width - 2 : 5] = hsv(0.12, 0.5, 0.9)
        x += width


def screen(rng: Rng) -> np.ndarray:
    """Switched off (nearly black) most of the time, else a bright picture."""
    if rng.random() < 0.65:
        return _canvas(hsv(0.6, 0.2, rng.uniform(0.1, 0.2)), hsv(0.6, 0.2, 0.07))
    return picture(rng)
