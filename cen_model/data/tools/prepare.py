# SPDX-License-Identifier: Apache-2.0
"""Turn a dataset that is slow or awkward to read into folders of images with a YAML file that describes them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import yaml

from cen_model.data.data_config import Split
from cen_model.data.dataset import Dataset
from cen_model.depth import to_millimeters
from cen_model.modalities import IN_METERS
from cen_model.utils.files import write_bytes_atomically, write_text_atomically

DEPTH_UNITS = 1000
"""A meter, in the files written."""
_STAMP = ".prepared"


def prepare(splits: Mapping[Split, Dataset], folder: Path, watch: Callable[[], object]) -> Path:
    """Write ``<split>/<modality>/<number>.png`` and dataset.yaml, which a "custom" dataset reads.

    Without loss, but for depth beyond 65 m or below a millimeter. What is there already is not written again, so that
    it can be interrupted.

    Raises:
        ValueError: a frame cannot be read, or the folder holds other frames, or the same ones in another way.
    """
    names = {split: [*dataset.modalities, *(["label"] if dataset.labels else [])] for split, dataset in splits.items()}
    path, text = folder / "dataset.yaml", _description(splits, names)
    _refuse_others(folder / _STAMP, splits, text)
    for split, dataset in splits.items():
        for index in range(len(dataset)):
            paths = {name: folder / split / name / f"{index + 1:06d}.png" for name in names[split]}
            if not all(path.is_file() for path in paths.values()):
                frame = dataset[index]
                for name, image in paths.items():
                    _write(image, _storable(name, frame[name]))
            watch()
    write_text_atomically(path, text)
    return path


def _description(splits: Mapping[Split, Dataset], names: Mapping[Split, Sequence[str]]) -> str:
    described = {split: {name: f"{split}/{name}" for name in each} for split, each in names.items()}
    first = next(iter(splits.values()))
    head: dict[str, object] = {"depth_scale": DEPTH_UNITS}
    if first.labels:
        colors = [list(color) for color in first.labels.colors]
        head |= {"classes": dict(zip(first.labels.names, colors, strict=True)), "labels": "from_zero"}
    if (camera := first.intrinsics(0)) is not None:
        head["intrinsics"] = [float(camera[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2))]
    return yaml.safe_dump({**head, **described}, sort_keys=False, allow_unicode=True)


def _refuse_others(stamp: Path, splits: Mapping[Split, Dataset], text: str) -> None:
    """Note in the folder what it is to hold, or compare with what was noted when it was begun."""
    digest = hashlib.sha256(text.encode())
    for dataset in splits.values():
        size = next(iter(dataset[0].values())).shape[:2]
        digest.update(repr((size, [dataset.describe(index) for index in range(len(dataset))])).encode())
    if not stamp.is_file():
        write_text_atomically(stamp, digest.hexdigest())
    elif stamp.read_text(encoding="ascii") != digest.hexdigest():
        raise ValueError(
            f"{stamp.parent}: was begun with other frames, classes, modalities or another size; choose an empty folder"
        )


def _storable(name: str, image: np.ndarray) -> np.ndarray:
    if name in IN_METERS:
        return to_millimeters(image)
    return image[..., ::-1] if image.ndim == 3 else image


def _write(path: Path, image: np.ndarray) -> None:
    encoded = cv2.imencode(".png", np.ascontiguousarray(image))[1]
    write_bytes_atomically(path, encoded.tobytes())
