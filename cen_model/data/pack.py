# SPDX-License-Identifier: Apache-2.0
"""Write a packed dataset (`cen_model.data.packed`): colour as good as a budget of bytes allows, all else exactly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from safetensors.numpy import save_file

from cen_model.data.dataset import Dataset
from cen_model.data.packed import KEY, VERSION
from cen_model.data.resized import Resized
from cen_model.files import write_atomically

QUALITIES = (95, 92, 88, 84, 80, 75, 70, 60, 50)
"""Of JPEG, best first."""
_METADATA_BYTES = 200_000

Frames = Mapping[str, list[dict[str, np.ndarray]]]
"""By split."""


def pack(
    splits: Mapping[str, Dataset],
    path: Path,
    size: tuple[int, int],
    modalities: Sequence[str],
    max_bytes: int,
    watch: Callable[[], object] = lambda: None,
) -> int:
    """Write all frames of all splits into one file. They pass through memory all at once, at the new size.

    Args:
        splits: by name.
        size: height and width of what is stored; colour is averaged, depth and labels are taken from the nearest pixel.
        max_bytes: the file's size at most.
        watch: is called for every frame.

    Returns:
        The JPEG quality that was chosen.

    Raises:
        ValueError: a frame cannot be read, or not even the lowest quality keeps to the budget.
    """
    splits = {split: Resized(dataset, size) for split, dataset in splits.items()}
    frames = {
        split: [_chosen(dataset[index], modalities, watch) for index in range(len(dataset))]
        for split, dataset in splits.items()
    }
    tensors = _exact(frames)
    budget = max_bytes - _METADATA_BYTES - sum(tensor.nbytes for tensor in tensors.values())
    quality, colour = _colour(frames, budget) if "rgb" in modalities else (100, {})
    metadata = {KEY: json.dumps(_described(splits, size, modalities))}
    write_atomically(path, lambda file: save_file({**tensors, **colour}, file, metadata))
    return quality


def _chosen(
    frame: Mapping[str, np.ndarray], modalities: Sequence[str], watch: Callable[[], object]
) -> dict[str, np.ndarray]:
    watch()
    return {name: frame[name] for name in (*modalities, *(["label"] if "label" in frame else []))}


def _exact(frames: Frames) -> dict[str, np.ndarray]:
    """Everything but colour, as PNG."""
    tensors, levels = {}, _depth_levels(frames)
    if levels is not None:
        tensors["depth.levels"] = levels
    for split, each in frames.items():
        for name in each[0]:
            if name == "depth":
                tensors |= _blobs(f"{split}/{name}", (_png(_depth_values(frame[name], levels)) for frame in each))
            elif name != "rgb":
                tensors |= _blobs(f"{split}/{name}", (_png(frame[name]) for frame in each))
    return tensors


def _depth_levels(frames: Frames) -> np.ndarray | None:
    """The values of depth, uint16 mm, if 8 bits can number them."""
    values: set[int] = set()
    for each in frames.values():
        for frame in each:
            if "depth" not in frame:
                return None
            values.update(np.unique(_millimetres(frame["depth"])).tolist())
            if len(values) > 256:
                return None
    return np.array(sorted(values), np.uint16)


def _depth_values(depth: np.ndarray, levels: np.ndarray | None) -> np.ndarray:
    values = _millimetres(depth)
    return values if levels is None else np.searchsorted(levels, values).astype(np.uint8)


def _millimetres(depth: np.ndarray) -> np.ndarray:
    """Float metres lose what is below a millimetre or beyond 65 m."""
    if depth.dtype == np.uint16:
        return depth
    known = np.nan_to_num(depth, nan=0, posinf=0, neginf=0)
    return np.rint(np.clip(known * 1000, 0, 65535)).astype(np.uint16)


def _colour(frames: Frames, budget: int) -> tuple[int, dict[str, np.ndarray]]:
    """The best quality that keeps to the budget, and the images."""
    some = [frame["rgb"] for each in frames.values() for frame in each[:: max(1, len(each) // 20)]]
    total = sum(map(len, frames.values()))
    for quality in QUALITIES:
        if total / len(some) * sum(_jpeg(image, quality).nbytes for image in some) > 1.05 * budget:
            continue  # the sample says that it is hopeless
        tensors: dict[str, np.ndarray] = {}
        for split, each in frames.items():
            tensors |= _blobs(f"{split}/rgb", (_jpeg(frame["rgb"], quality) for frame in each))
        if sum(tensor.nbytes for tensor in tensors.values()) <= budget:
            return quality, tensors
    raise ValueError(
        f"even with JPEG quality {QUALITIES[-1]} the frames need more than the {budget / 2**20:.0f} MiB that depth, "
        "labels and the like leave for colour: choose a smaller size, fewer modalities or a larger budget"
    )


def _blobs(name: str, images: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    encoded = list(images)
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return {name: np.concatenate(encoded), f"{name}.offsets": offsets}


def _png(image: np.ndarray) -> np.ndarray:
    bgr = image[..., ::-1] if image.ndim == 3 else image
    return cv2.imencode(".png", np.ascontiguousarray(bgr), [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]


def _jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    return cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]


def _described(splits: Mapping[str, Dataset], size: tuple[int, int], modalities: Sequence[str]) -> dict[str, object]:
    first = next(iter(splits.values()))
    labels, camera = first.labels, first.intrinsics(0)
    return {
        "version": VERSION,
        "modalities": list(modalities),
        "size": list(size),
        "classes": list(labels.names) if labels else [],
        "colours": [list(colour) for colour in labels.colours] if labels else [],
        "frames": {
            split: [Path(dataset.describe(index).split(",")[0]).name for index in range(len(dataset))]
            for split, dataset in splits.items()
        },
        "intrinsics": None if camera is None else camera.tolist(),
    }
