# SPDX-License-Identifier: Apache-2.0
"""Cityscapes (Cordts et al. 2016): 19 classes, depth from the disparity of a stereo camera.

The test labels are not public: validation and test are both its validation part.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np

from cen_model.data.classes import LABEL_SETS, VOID
from cen_model.data.config import DataConfig, Split
from cen_model.data.file_dataset import FileDataset, label_reader, refuse_missing
from cen_model.data.images import read_grey, read_rgb
from cen_model.data.labels import FROM_ZERO
from cen_model.data.layouts import Layout, folder

LABELS = LABEL_SETS["cityscapes19"]
BASELINE_FX = 0.209313 * 2262.52
"""Metres times pixels, of most of its cameras; used where the frame's own camera file is not there."""
TRAIN_ID_OF_ID = dict(
    zip((7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33), range(19), strict=True)
)
"""Ids of the labels as they come → of the 19 classes; all others are void."""

_PARTS = {"train": "train", "validation": "val", "test": "val"}


def disparity_to_depth(path: Path, cameras: Path | None = None) -> np.ndarray:
    """Depth, float32 metres, of a disparity image: d = (p - 1) / 256 pixels, 0 = hole.

    Args:
        cameras: the folder of the frames' camera files; None takes `BASELINE_FX`.
    """
    values = read_grey(path)
    baseline_fx = BASELINE_FX
    if cameras is not None:
        camera = cameras / path.parent.name / path.name.replace("_disparity.png", "_camera.json")
        if camera.is_file():
            stored = json.loads(camera.read_text(encoding="utf-8"))
            baseline_fx = stored["extrinsic"]["baseline"] * stored["intrinsic"]["fx"]
    disparity = (values.astype(np.float32) - 1) / 256
    known = disparity > 0
    return np.divide(baseline_fx, disparity, out=np.zeros_like(disparity), where=known)


def _of_ids(path: Path) -> np.ndarray:
    table = np.full(256, VOID, np.uint8)
    table[list(TRAIN_ID_OF_ID)] = list(TRAIN_ID_OF_ID.values())
    return table[read_grey(path)]


def _open(config: DataConfig, split: Split) -> FileDataset:
    root, part = folder(config), _PARTS[split]
    cameras = root / "camera" / part
    frames, train_ids = [], True
    for rgb in sorted((root / "leftImg8bit" / part).glob("*/*_leftImg8bit.png")):
        city, stem = rgb.parent.name, rgb.name.removesuffix("_leftImg8bit.png")
        files = {"rgb": rgb, "depth": root / "disparity" / part / city / f"{stem}_disparity.png"}
        label = root / "gtFine" / part / city / f"{stem}_gtFine_labelTrainIds.png"
        if not label.is_file():  # as they come, before the authors' scripts have run
            label, train_ids = label.with_name(f"{stem}_gtFine_labelIds.png"), False
        frames.append({**files, "label": label})
    if not frames:
        raise FileNotFoundError(f"{root / 'leftImg8bit' / part}: no <city>/*_leftImg8bit.png")
    refuse_missing(frames)
    depth = partial(disparity_to_depth, cameras=cameras if cameras.is_dir() else None)
    label = label_reader(FROM_ZERO, len(LABELS.names)) if train_ids else _of_ids
    return FileDataset(frames, {"rgb": read_rgb, "depth": depth, "label": label}, LABELS)


LAYOUTS = {"original": Layout(("leftImg8bit", "gtFine", "disparity"), _open)}
