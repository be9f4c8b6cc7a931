# SPDX-License-Identifier: Apache-2.0
"""What the cameras make of the scene: exposure, color cast and noise; structured-light depth with its noise and holes.

The depth model follows Khoshelham and Elberink (2012): disparity is quantized, so steps and noise grow with range
squared; and a point that the projector cannot see from its place beside the camera has no depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

Rng = np.random.Generator

MAX_RANGE = 8.0
MIN_RANGE = 0.4


@dataclass(frozen=True)
class ColorSensor:
    """target: mean gray of the exposed image; gain: noise factor; cast: (3,) channel factors; ambient: light level."""

    target: float
    gain: float
    cast: tuple[float, float, float]
    ambient: float


@dataclass(frozen=True)
class DepthSensor:
    """sigma: noise in m at 1 m; step: quantization in m at 1 m (both grow with z²); baseline: m to the projector."""

    sigma: float
    step: float
    baseline: float


def sample_sensors(rng: Rng) -> tuple[ColorSensor, DepthSensor]:
    """15 % dark scenes, 15 % over-exposed ones."""
    kind = rng.random()
    if kind < 0.15:
        target, gain = rng.uniform(0.015, 0.06), rng.uniform(2.0, 4.0)
    elif kind < 0.3:
        target, gain = rng.uniform(0.55, 1.0), 0.7
    else:
        target, gain = rng.uniform(0.14, 0.32), rng.uniform(0.6, 1.4)
    cast = tuple(float(c) for c in np.clip(rng.normal(1, 0.05, 3), 0.85, 1.15))
    color = ColorSensor(target, gain, cast, rng.uniform(0.08, 0.3))
    return color, DepthSensor(rng.uniform(0.0012, 0.0022), rng.uniform(0.0012, 0.0028), rng.uniform(0.025, 0.07))


def expose(radiance: np.ndarray, irradiance: np.ndarray, sensor: ColorSensor) -> tuple[np.ndarray, np.ndarray]:
    """Noise-free display values in [0, 1] of linear (H, W, 3) radiance, and the light itself as (H, W) shading."""
    scale = sensor.target / max(float(np.minimum(radiance, 4 * np.median(radiance) + 0.1).mean()), 1e-6)
    gray = (irradiance[..., 0] + irradiance[..., 1] + irradiance[..., 2]) / 3
    shade = np.clip(gray / max(float(np.quantile(gray, 0.98)), 1e-6), 0, 1) ** (1 / 2.2)
    return _display(radiance * np.float32(scale) * np.array(sensor.cast, np.float32)), shade.astype(np.float32)


def _display(linear: np.ndarray) -> np.ndarray:
    """A soft shoulder above 0.7, then gamma 2.2."""
    over = np.maximum(linear - 0.7, 0)
    return np.clip(np.minimum(linear, 0.7) + 0.3 * over / (over + 0.5) * 1.15, 0, 1) ** np.float32(1 / 2.2)


def photograph(rng: Rng, display: np.ndarray, sensor: ColorSensor) -> np.ndarray:
    """uint8 (H, W, 3): a little lens blur, then noise that grows with gain and, relatively, in the dark."""
    soft = cv2.GaussianBlur(display, (3, 3), 0.55)
    noise = rng.standard_normal(soft.shape, dtype=np.float32)
    level = (0.008 + 0.012 * soft) * sensor.gain
    return (np.clip(soft + noise * level, 0, 1) * 255 + 0.5).astype(np.uint8)


def measure_depth(rng: Rng, z: np.ndarray, grazing: np.ndarray, dull: np.ndarray, focal: float, sensor: DepthSensor):
    """uint16 mm (H, W), 0 = hole, from z in m (H, W).

    grazing: cosine between ray and surface; dull: [0, 1], how little projected light comes back; focal in pixels.
    """
    noisy = z + _grain(rng, z.shape) * np.float32(sensor.sigma) * z * z
    disparity = 1 / np.maximum(noisy, 0.1)
    measured = 1 / (np.maximum(np.round(disparity / sensor.step), 1) * sensor.step)
    patchy = _patches(rng, z.shape)
    lost = (z > MAX_RANGE) | (z < MIN_RANGE) | _projector_shadow(z, focal * sensor.baseline)
    lost |= patchy < dull * 0.75
    lost |= patchy < (0.28 - grazing) * 3
    lost |= rng.random(z.shape, dtype=np.float32) < 0.003 + _ragged(z)
    return np.where(lost, 0, np.clip(measured * 1000 + 0.5, 0, 65535)).astype(np.uint16)


def _grain(rng: Rng, shape) -> np.ndarray:
    """Unit-variance noise, half of it correlated over neighboring pixels (matching windows overlap)."""
    fine = rng.standard_normal(shape, dtype=np.float32)
    wide = cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (0, 0), 1.2) * np.float32(4.2)
    return np.clip(0.6 * fine + 0.8 * wide, -4, 4)


def _patches(rng: Rng, shape) -> np.ndarray:
    """Blotches in [0, 1], roughly uniform, ten pixels across."""
    coarse = rng.random((shape[0] // 10 + 2, shape[1] // 10 + 2), dtype=np.float32)
    return cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def _projector_shadow(z: np.ndarray, focal_baseline: float) -> np.ndarray:
    """Where something nearer on the same row stands between the projector (left of the camera) and the point."""
    seen_at = np.arange(z.shape[1], dtype=np.float32) + np.float32(focal_baseline) / z
    ahead = np.maximum.accumulate(seen_at, axis=1)
    return seen_at < ahead - 0.5


def _ragged(z: np.ndarray) -> np.ndarray:
    """Probability of a hole beside a depth step: matching fails where two depths share a window."""
    spread = cv2.dilate(z, np.ones((3, 3), np.uint8)) - cv2.erode(z, np.ones((3, 3), np.uint8))
    return 0.5 * (spread > 0.06 * z + 0.02)
