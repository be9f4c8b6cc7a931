# SPDX-License-Identifier: Apache-2.0
"""Write a packed dataset (`cen_model.data.formats.packed`)."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save as serialize

from cen_model.data.dataset import Dataset
from cen_model.data.formats.packed import KEY, VERSION
from cen_model.data.resized import Resized
from cen_model.data.tools.packed_encodings import encode
from cen_model.utils.files import write_bytes_atomically


def pack(
    splits: Mapping[str, Dataset],
    path: Path,
    size: tuple[int, int],
    modalities: Sequence[str],
    watch: Callable[[], object] = lambda: None,
) -> None:
    """Write all frames of all splits into one file. They pass through memory all at once, at the new size.

    Args:
        splits: by name.
        size: height and width of what is stored; color is averaged, depth and labels are taken from the nearest pixel.
        watch: is called for every frame.

    Raises:
        ValueError: a frame cannot be read.
    """
    splits = {split: Resized(dataset, size) for split, dataset in splits.items()}
    frames = {
        split: [_chosen(dataset[index], modalities, watch) for index in range(len(dataset))]
        for split, dataset in splits.items()
    }
    tensors = encode(frames)
    checksums = {"crc32": {name: zlib.crc32(tensor) for name, tensor in tensors.items()}}
    content = serialize(tensors, {KEY: json.dumps(_described(splits, size, modalities) | checksums)})
    write_bytes_atomically(path, content)


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
        "colors": [list(color) for color in labels.colors] if labels else [],
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
