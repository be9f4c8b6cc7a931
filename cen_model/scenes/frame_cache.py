# SPDX-License-Identifier: Apache-2.0
"""Rendered scenes on disk: a small file each, in a folder named after the renderer's source, so none is ever stale."""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from cen_model.classes import NYU13, VOID
from cen_model.utils.files import write_bytes_atomically

Sample = dict[str, np.ndarray]
KEYS = ("rgb", "depth", "label")


@lru_cache(maxsize=1)
def renderer_version() -> str:
    """12 hex digits over the source of this package and the class list."""
    digest = hashlib.sha256(f"{NYU13} {VOID}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def scene_path(cache_dir: Path, seed: int, size: tuple[int, int]) -> Path:
    return Path(cache_dir) / f"{renderer_version()}-{size[0]}x{size[1]}" / f"{seed:08d}.npz"


def write(path: Path, sample: Sample) -> None:
    """Store the images losslessly (PNG streams inside an npz); the file appears whole or not at all."""
    streams = {key: cv2.imencode(".png", sample[key], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1] for key in KEYS}
    buffer = io.BytesIO()
    np.savez(buffer, **streams)
    write_bytes_atomically(path, buffer.getvalue())


def read(path: Path) -> Sample | None:
    """The stored sample, or None where the file is missing or damaged (then it is to be rendered again)."""
    try:
        with np.load(path) as archive:
            images = {key: cv2.imdecode(archive[key], cv2.IMREAD_UNCHANGED) for key in KEYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, cv2.error):
        return None
    return None if any(image is None for image in images.values()) else images
