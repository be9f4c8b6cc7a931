# SPDX-License-Identifier: Apache-2.0
"""NYUDv2 as its authors give it: one MATLAB file of everything, the split and the mapping of classes beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cen_model.classes import LABEL_SETS, NYU13_OF_NYU40, VOID, LabelSet, merging
from cen_model.data.data_config import DataConfig, Split
from cen_model.data.formats.layouts import folder
from cen_model.data.formats.matlab import MatFile, load_mat
from cen_model.data.formats.nyudv2_split import keep

FILE = "nyu_depth_v2_labeled.mat"


class RawNYUDv2:
    """Frames of `nyu_depth_v2_labeled.mat`, read one by one; depth with its holes filled by the authors.

    Args:
        file: with the variables images, depths and labels.
        indices: of the frames, from 0.
        ids: the id of each of the 895 values of the labels, 0 = void among them.
        camera: intrinsics (3, 3).
    """

    modalities = ("rgb", "depth")

    def __init__(
        self, file: MatFile, indices: np.ndarray, ids: np.ndarray, labels: LabelSet, camera: np.ndarray
    ) -> None:
        self.labels = labels
        self._file, self._indices, self._ids, self._camera = file, indices, ids, camera

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        rgb, depth, label = (self._file.read(name, self._indices[index]) for name in ("images", "depths", "labels"))
        if label.max() >= len(self._ids):
            raise ValueError(
                f"{self.describe(index)}: label {label.max()}, but classMapping40.mat ends at {len(self._ids) - 1}"
            )
        return {
            "rgb": np.ascontiguousarray(rgb.transpose(2, 1, 0)),
            "depth": np.ascontiguousarray(depth.T.astype(np.float32)),
            "label": np.ascontiguousarray(self._ids[label.T]),
        }

    def describe(self, index: int) -> str:
        return f"{self._file.path}, frame {self._indices[index] + 1}"

    def intrinsics(self, index: int) -> np.ndarray | None:
        return self._camera


def open_raw(config: DataConfig, split: Split, labels: LabelSet, camera: np.ndarray) -> RawNYUDv2:
    """A split of the folder with the MATLAB files.

    Raises:
        FileNotFoundError: splits.mat or classMapping40.mat is not there.
        ValueError: they are not what they should be, or what reads them is not installed.
    """
    root = folder(config)
    official = _integers(root / "splits.mat", "testNdxs" if split == "test" else "trainNdxs")
    indices = np.array(keep(official, [str(number) for number in official], split)) - 1
    mapping = _integers(root / "classMapping40.mat", "mapClass")  # of the values 1 to 894
    ids = np.concatenate([[VOID], mapping - 1]).astype(np.uint8)
    if labels is LABEL_SETS["nyu13"]:
        ids = merging(NYU13_OF_NYU40)[ids]
    return RawNYUDv2(MatFile(root / FILE), indices, ids, labels, camera)


def _integers(path: Path, name: str) -> np.ndarray:
    variables = load_mat(path)
    if name not in variables:
        raise ValueError(f"{path}: expected the variable {name}, found {', '.join(variables)}")
    return np.atleast_1d(variables[name]).ravel().astype(np.int64)
