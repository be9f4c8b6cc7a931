# SPDX-License-Identifier: Apache-2.0
"""From a room and a camera to a `Frame`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cen_model.scenes import edges, sensor, shading
from cen_model.scenes.items import TV, WINDOW
from cen_model.scenes.raycast import Caster, dot
from cen_model.scenes.rooms import Room, make_room
from cen_model.scenes.trajectory import camera_path
from cen_model.scenes.virtual_camera import Camera, choose_camera, pixel_directions


@dataclass(frozen=True, eq=False)
class Frame:
    """One view, H × W pixels; meters and the camera frame (x right, y down, z forward) throughout.

    rgb: uint8 (H, W, 3), with exposure, color cast and noise.
    depth: uint16 (H, W) millimeters as a depth camera measures them, 0 = hole.
    label: uint8 (H, W), index into `cen_model.classes.NYU13`; exact.
    z_depth, euclidean_depth: float32 (H, W) meters, noise-free.
    normals: float32 (H, W, 3), unit, towards the camera's side of the surface; smooth on curved furniture.
    shading: float32 (H, W) in [0, 1], the light on a white surface, gamma 2.2, 1 = the frame's brightest 2 %.
    albedo: uint8 (H, W, 3), gamma 2.2, without light.
    occlusion_edges, texture_edges: float32 (H, W) in [0, 1].
    intrinsics: float64 (3, 3), integer pixel coordinates at pixel centers. pose: float64 (4, 4), to world (z up).
    """

    rgb: np.ndarray
    depth: np.ndarray
    label: np.ndarray
    z_depth: np.ndarray
    euclidean_depth: np.ndarray
    normals: np.ndarray
    shading: np.ndarray
    albedo: np.ndarray
    occlusion_edges: np.ndarray
    texture_edges: np.ndarray
    intrinsics: np.ndarray
    pose: np.ndarray


class RoomRenderer:
    """Renders views of one room with one pair of sensors."""

    def __init__(self, seed: int, size: tuple[int, int]):
        self.size = size
        self.room: Room = make_room(seed)
        self.caster = Caster(self.room.parts)
        self._color, self._depth = sensor.sample_sensors(np.random.default_rng([seed, 3]))

    def render(self, camera: Camera, rng: np.random.Generator) -> Frame:
        """`rng` draws the sensors' noise."""
        origins, directions = camera.rays(self.size)
        hits = self.caster.cast(origins, directions)
        assert (hits.part >= 0).all(), "a ray left the room"
        z = hits.distance.reshape(self.size)
        k = camera.intrinsics
        length = np.sqrt(dot(directions, directions))
        surface = shading.surface(self.room.parts, self.caster, hits, hits.distance / np.float32(k[0, 0]))
        radiance, light = self._radiance(hits, surface, -directions / length[:, None])
        display, shade = sensor.expose(radiance, light, self._color)
        label = self.caster.labels[hits.part].reshape(self.size)
        facing = -dot(directions, hits.facets) / length
        dull = self._dullness(surface, label)
        rotation = camera.pose[:3, :3].astype(np.float32)
        normals = (hits.normals @ rotation).reshape(*self.size, 3)
        points = (pixel_directions(k, self.size) * z[..., None]).astype(np.float32)
        facets = (hits.facets @ rotation).reshape(*self.size, 3)
        return Frame(
            rgb=sensor.photograph(rng, display, self._color),
            depth=sensor.measure_depth(rng, z, facing.reshape(self.size), dull, k[0, 0], self._depth),
            label=label,
            z_depth=z,
            euclidean_depth=(hits.distance * length).reshape(self.size).astype(np.float32),
            normals=normals,
            shading=shade,
            albedo=(np.clip(surface.albedo, 0, 1) ** (1 / 2.2) * 255 + 0.5).astype(np.uint8).reshape(*self.size, 3),
            occlusion_edges=edges.occlusion_edges(z, points, facets),
            texture_edges=edges.texture_edges(display),
            intrinsics=k,
            pose=camera.pose,
        )

    def _radiance(self, hits, surface: shading.Surface, towards_eye: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Linear radiance and diffuse irradiance, float32 (H, W, 3) each."""
        lights = self.room.lights
        light, seen = shading.illumination(self.caster, hits, lights, self.size, self._color.ambient)
        shine = shading.highlights(hits, surface.gloss, lights, seen, towards_eye)
        radiance = surface.albedo * (light + surface.emission[:, None]) + shine
        return radiance.reshape(*self.size, 3), light.reshape(*self.size, 3)

    def _dullness(self, surface: shading.Surface, label: np.ndarray) -> np.ndarray:
        """How little projected light returns, (H, W) in [0, 1]: dark surfaces, the glass of screens and windows."""
        dark = np.clip(1 - np.maximum.reduce(surface.albedo.T) / 0.06, 0, 1) * 0.7
        dull = np.maximum(dark, surface.gloss * 0.5).reshape(self.size)
        glass = ((label == TV) | (label == WINDOW)) & (surface.gloss.reshape(self.size) > 0.15)
        return np.where(glass, np.maximum(dull, 0.6), dull)


def render_scene(seed: int, size: tuple[int, int] = (240, 320)) -> Frame:
    """One random view of the random room of `seed`, bit-identical in every process."""
    renderer = RoomRenderer(seed, size)
    rng = np.random.default_rng([seed, 2])
    camera = choose_camera(rng, renderer.room, renderer.caster, size)
    return renderer.render(camera, rng)


def render_trajectory(
    seed: int, frames: int, rate: float = 10.0, size: tuple[int, int] = (240, 320)
) -> Iterator[Frame]:
    """`frames` views along a smooth walk through the room of `seed`, `rate` per second of walking."""
    renderer = RoomRenderer(seed, size)
    path = camera_path(np.random.default_rng([seed, 4]), renderer.room, renderer.caster, size)
    for k in range(frames):
        yield renderer.render(path(k / rate), np.random.default_rng([seed, 5, k]))
