# SPDX-License-Identifier: Apache-2.0
"""Write a packed dataset (`cen_model.data.formats.packed`) within a budget of bytes.

Labels, edges and whatever else is not named here are stored exactly. Colour is JPEG, as good as the budget allows. What
else is lost, and only if that colour would not be of quality 80 without: normals, HHA and shading become JPEG too; then
depth of more than 256 values is rounded to 255 levels of equal ratios (0.7 % off at most from 0.3 m to 10 m). Holes
stay holes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save as serialise

from cen_model.data.dataset import Dataset
from cen_model.data.formats.packed import KEY, VERSION
from cen_model.data.resized import Resized
from cen_model.data.tools.packed_encodings import LEVELS, Encodings
from cen_model.utils.files import write_atomically

QUALITIES = (95, 92, 88, 84, 80, 75, 70, 60, 50)
"""Of JPEG, best first."""
_GOOD = 80
_SMOOTH = ("normal", "hha", "shade")
_METADATA_BYTES = 200_000


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
        The JPEG quality that was chosen, 100 if nothing is JPEG.

    Raises:
        ValueError: a frame cannot be read, or not even the lowest quality keeps to the budget.
    """
    splits = {split: Resized(dataset, size) for split, dataset in splits.items()}
    frames = {
        split: [_chosen(dataset[index], modalities, watch) for index in range(len(dataset))]
        for split, dataset in splits.items()
    }
    encodings, budget = Encodings(frames), max_bytes - _METADATA_BYTES
    for quality, ways in _plans(list(next(iter(frames.values()))[0]), encodings):
        if encodings.estimate(ways) > 1.05 * budget:
            continue  # some frames say that it is hopeless
        tensors = encodings.tensors(ways)
        if sum(tensor.nbytes for tensor in tensors.values()) <= budget:
            described = _described(splits, size, modalities) | {
                "ways": ways,
                "depth_error": encodings.error if LEVELS in ways.values() else 0.0,
                "crc32": {name: zlib.crc32(tensor) for name, tensor in tensors.items()},
            }
            content = serialise(tensors, {KEY: json.dumps(described)})
            write_atomically(path, lambda file: file.write_bytes(content))  # noqa: B023
            return quality
    raise ValueError(
        f"even with JPEG quality {QUALITIES[-1]} the frames need more than {max_bytes / 2**20:.1f} MiB: choose a "
        "smaller size, fewer modalities or a larger budget"
    )


def _plans(names: Sequence[str], encodings: Encodings) -> Iterator[tuple[int, dict[str, str]]]:
    """Ways of writing each image, and the quality of JPEG, what loses least first."""
    exactly = dict.fromkeys(names, "png")
    if "depth" in names and encodings.exact_levels:
        exactly["depth"] = LEVELS
    colour, smooth = [{name for name in names if name in kind} for kind in (("rgb",), _SMOOTH)]
    coarsely = {**exactly, "depth": LEVELS} if "depth" in names else exactly
    stages = [(exactly, colour, True), (exactly, colour | smooth, True), (coarsely, colour | smooth, True)]
    for ways, pictures, good in [*stages, (coarsely, colour | smooth, False)]:
        qualities = [each for each in QUALITIES if (each >= _GOOD) == good] if pictures else [100]
        for quality in qualities:
            yield quality, {**ways, **dict.fromkeys(pictures, f"jpeg {quality}")}


def _chosen(
    frame: Mapping[str, np.ndarray], modalities: Sequence[str], watch: Callable[[], object]
) -> dict[str, np.ndarray]:
    watch()
    return {name: frame[name] for name in (*modalities, *(["label"] if "label" in frame else []))}


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
            split: _names([dataset.describe(index) for index in range(len(dataset))])
            for split, dataset in splits.items()
        },
        "intrinsics": None if camera is None else camera.tolist(),
    }


def _names(described: Sequence[str]) -> list[str]:
    """Of frames: the name of the first file, if that tells them apart."""
    names = [Path(each.split(", ")[0]).name for each in described]
    return names if len(set(names)) == len(names) else list(described)
