# SPDX-License-Identifier: Apache-2.0
"""Synthetic indoor scenes with exact NYU-13 labels.

Rooms are furnished from a seed and ray-cast (no download, no OpenGL). As in NYU-13, pillows and lamps are objects,
curtains are windows, rugs are floor, doors are walls, desks are tables, and bookshelves and nightstands are furniture.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from cen_model.scenes import frame_cache
from cen_model.scenes.renderer import Frame, render_scene, render_trajectory

__all__ = ["Frame", "SyntheticScenes", "prerender", "render_scene", "render_trajectory"]


class SyntheticScenes:
    """A dataset of one random view per seed.

    Item i is a dict: rgb uint8 (H, W, 3), depth uint16 (H, W) mm with 0 = hole, label uint8 (H, W) into NYU13.
    With a `cache_dir` each scene is rendered once and then read from disk; a damaged file is rendered again.
    """

    def __init__(self, seeds: Sequence[int], size: tuple[int, int] = (240, 320), cache_dir: Path | None = None):
        self.seeds, self.size, self.cache_dir = seeds, tuple(size), cache_dir

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        seed = self.seeds[index]
        if self.cache_dir is None:
            return _sample(seed, self.size)
        path = frame_cache.scene_path(self.cache_dir, seed, self.size)
        sample = frame_cache.read(path)
        if sample is None:
            sample = _sample(seed, self.size)
            frame_cache.write(path, sample)
        return sample


def _sample(seed: int, size: tuple[int, int]) -> dict[str, np.ndarray]:
    frame = render_scene(seed, size)
    return {"rgb": frame.rgb, "depth": frame.depth, "label": frame.label}


def _store(seed: int, size: tuple[int, int], cache_dir: Path) -> None:
    SyntheticScenes([seed], size, cache_dir)[0]


def prerender(seeds: Sequence[int], size: tuple[int, int], cache_dir: Path, workers: int = 1) -> None:
    """Fill the cache for `seeds` in `workers` processes, with a progress bar."""
    from rich.progress import track

    missing = [seed for seed in seeds if not frame_cache.scene_path(cache_dir, seed, size).exists()]
    if not missing:
        return
    job = partial(_store, size=tuple(size), cache_dir=Path(cache_dir))
    with multiprocessing.get_context("spawn").Pool(min(workers, len(missing))) as pool:
        done = pool.imap_unordered(job, missing, chunksize=4)
        for _ in track(done, description="rendering scenes", total=len(missing)):
            pass
