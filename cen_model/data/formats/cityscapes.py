# SPDX-License-Identifier: Apache-2.0
"""Cityscapes (Cordts et al. 2016): 19 classes, depth from the disparity of a stereo camera.

The test labels are not public: test is its validation part, and validation takes three of the 18 training cities.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np

from cen_model.classes import LABEL_SETS, VOID, merging
from cen_model.data.data_config import DataConfig, Split
from cen_model.data.formats.file_dataset import FileDataset, Reader, label_reader, refuse_missing
from cen_model.data.formats.image_files import read_depth, read_label, read_rgb
from cen_model.data.formats.label_conventions import FROM_ZERO, to_ids
from cen_model.data.formats.layouts import Layout, folder

LABELS = LABEL_SETS["cityscapes19"]
CAMERA = np.array([[2262.52, 0, 1096.98], [0, 2265.3017905988554, 513.137], [0, 0, 1]])
"""Of most of its frames, at 2048×1024."""
SIZE = (1024, 2048)
BASELINE_FX = 0.209313 * CAMERA[0, 0]
"""Meters times pixels, of most of its frames; used where the frame's own camera file is not there."""
TRAIN_ID_OF_ID = dict(
    zip((7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33), range(19), strict=True)
)
"""Ids of the labels as they come → of the 19 classes; all others are void."""

IDS = 34
"""Labels as they come have so many ids, from 0."""

_PARTS = {"train": "train", "validation": "train", "test": "val"}
"""The official part that has the frames of a split."""
VALIDATION_CITIES = ("darmstadt", "krefeld", "ulm")
"""Training cities whose 279 frames, of 2975, are for validation."""


def disparity_to_depth(path: Path, cameras: Path | None = None) -> np.ndarray:
    """Depth, float32 meters, of a disparity image: d = (p - 1) / 256 pixels; below one pixel (0.5 km) a hole, as 0 is.

    Args:
        cameras: the folder of the frames' camera files; None takes `BASELINE_FX`.
    """
    values = read_depth(path)
    baseline_fx = BASELINE_FX
    if cameras is not None:
        camera = cameras / path.parent.name / path.name.replace("_disparity.png", "_camera.json")
        if camera.is_file():
            baseline_fx = _baseline_fx(camera)
    disparity = (values.astype(np.float32) - 1) / 256
    known = disparity >= 1
    return np.divide(baseline_fx, disparity, out=np.zeros_like(disparity), where=known)


def _baseline_fx(camera: Path) -> float:
    try:
        stored = json.loads(camera.read_text(encoding="utf-8"))
        return float(stored["extrinsic"]["baseline"] * stored["intrinsic"]["fx"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{camera}: expected a camera with extrinsic.baseline and intrinsic.fx: {error!r}") from error


def _label(path: Path, train_ids: Reader) -> np.ndarray:
    """Of either kind, which the name tells: in some copies only some frames have both."""
    if path.name.endswith("_labelTrainIds.png"):
        return train_ids(path)
    ids = to_ids(read_label(path), FROM_ZERO, IDS, path)  # 255: a license plate, -1 in 8 bits
    return merging([TRAIN_ID_OF_ID.get(value, VOID) for value in range(IDS)])[ids]


def _open(config: DataConfig, split: Split) -> FileDataset:
    root, part = folder(config), _PARTS[split]
    cameras = root / "camera" / part
    frames = []
    for rgb in sorted((root / "leftImg8bit" / part).glob("*/*_leftImg8bit.png")):
        city, stem = rgb.parent.name, rgb.name.removesuffix("_leftImg8bit.png")
        if split != "test" and (city in VALIDATION_CITIES) != (split == "validation"):
            continue
        files = {"rgb": rgb, "depth": root / "disparity" / part / city / f"{stem}_disparity.png"}
        label = root / "gtFine" / part / city / f"{stem}_gtFine_labelTrainIds.png"
        if not label.is_file():  # as they come, before the authors' scripts have run
            label = label.with_name(f"{stem}_gtFine_labelIds.png")
        frames.append({**files, "label": label})
    if not frames:
        cities = f" of {', '.join(VALIDATION_CITIES)}, the cities for validation" if split == "validation" else ""
        raise FileNotFoundError(f"{root / 'leftImg8bit' / part}: no <city>/*_leftImg8bit.png{cities}")
    refuse_missing(frames)
    depth = partial(disparity_to_depth, cameras=cameras if cameras.is_dir() else None)
    label = partial(_label, train_ids=label_reader(FROM_ZERO, len(LABELS.names)))
    return FileDataset(frames, {"rgb": read_rgb, "depth": depth, "label": label}, LABELS, CAMERA, SIZE)


LAYOUTS = {"original": Layout(("leftImg8bit", "gtFine", "disparity"), _open)}
