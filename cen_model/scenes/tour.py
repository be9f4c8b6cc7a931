# SPDX-License-Identifier: Apache-2.0
"""A camera's tour through several synthetic rooms, rendered on all cores and cached on disk."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from cen_model.scenes.frame_cache import renderer_version
from cen_model.scenes.scene_dataset import render_trajectory
from cen_model.utils.files import cache_directory, write_atomically


@dataclass(frozen=True)
class Tour:
    """N frames of the same size: what the sensors give, and the truth."""

    rgb: np.ndarray
    """uint8 (N, H, W, 3)"""
    depth: np.ndarray
    """uint16 mm (N, H, W), 0 = hole"""
    label: np.ndarray
    """uint8 (N, H, W), ids into NYU13"""
    intrinsics: np.ndarray
    """float64 (N, 3, 3)"""
    pose: np.ndarray
    """float64 (N, 4, 4), from the camera (x right, y down, z forward) to its room (z up)"""


FIELDS = tuple(Tour.__dataclass_fields__)


@dataclass(frozen=True)
class Stay:
    """One room of a tour: the arguments of `render_trajectory`."""

    seed: int
    frames: int
    rate: float
    size: tuple[int, int]

    def file(self, folder: Path) -> Path:
        """The cache file, named by a hash of these arguments, of what it holds and of the renderer's source."""
        content = hashlib.sha256(f"{self} {FIELDS} {renderer_version()}".encode())
        return folder / f"{content.hexdigest()[:24]}.npz"


def plan(seed: int, frames: int, rate: float, size: Sequence[int], rooms: int) -> list[Stay]:
    """`frames` divided as evenly as possible over `rooms` rooms with the seeds `seed`, `seed` + 1, …"""
    if frames < 1 or rooms < 1:
        raise ValueError(f"a tour needs at least one frame and one room, not {frames} frames in {rooms} rooms")
    shares = [len(part) for part in np.array_split(np.arange(frames), min(rooms, frames))]
    return [Stay(seed + k, share, rate, tuple(size)) for k, share in enumerate(shares)]


def render(stay: Stay, file: Path) -> None:
    """Render one room into its cache file."""
    frames = list(render_trajectory(**asdict(stay)))
    arrays = {name: np.stack([getattr(frame, name) for frame in frames]) for name in FIELDS}

    def write(path: Path) -> None:
        with path.open("wb") as stream:  # given a name, savez would add an ending to it
            np.savez_compressed(stream, **arrays)

    write_atomically(file, write)


def read(file: Path) -> dict[str, np.ndarray] | None:
    """One room, as `render` wrote it; None where the file is missing or damaged (then it is to be rendered again)."""
    try:
        with np.load(file) as arrays:
            return {name: arrays[name] for name in FIELDS}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def render_tour(
    seed: int,
    frames: int,
    rate: float = 10.0,
    size: Sequence[int] = (240, 320),
    rooms: int = 6,
    folder: Path | None = None,
    advance: Callable[[int], None] = lambda frames: None,
) -> Tour:
    """
    Frames of a smooth camera path through each of `rooms` rooms, one room after the other.

    Rooms are rendered in parallel, one process per core, and cached in `folder` (default: the user's cache).
    `advance` is called with the number of frames of every room that is ready. The same arguments give the same tour.
    """
    stays = plan(seed, frames, rate, size, rooms)
    folder = folder or cache_directory() / "tours"
    files = {stay: stay.file(folder) for stay in stays}
    parts = {stay: read(files[stay]) for stay in stays}
    missing = [stay for stay, part in parts.items() if part is None]
    advance(frames - sum(stay.frames for stay in missing))
    if missing:
        workers = min(len(missing), os.cpu_count() or 1)
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
        try:
            jobs = {pool.submit(render, stay, files[stay]): stay for stay in missing}
            for job in as_completed(jobs):
                job.result()
                parts[jobs[job]] = read(files[jobs[job]])
                advance(jobs[job].frames)
        finally:
            pool.shutdown(cancel_futures=True)
    return Tour(**{name: np.concatenate([parts[stay][name] for stay in stays]) for name in FIELDS})
