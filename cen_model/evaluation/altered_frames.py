# SPDX-License-Identifier: Apache-2.0
"""What `Altered` makes of a dataset's frames: as another camera has them, with a sensor's holes in depth or less in
view; or with truth of groups.

Axes: H W pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cen_model.classes import VOID
from cen_model.data.altered import Frame
from cen_model.data.formats.image_files import read_depth
from cen_model.label_groups import LabelGroups


class Holes:
    """Holes of depth images that a sensor has taken: frame i gets those of file i mod N, mirrored where i is odd.

    Args:
        folder: depth images of 16 bits, PNG, in the order of their names; a hole is 0.

    Raises:
        FileNotFoundError: there are none in the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._files = sorted(folder.glob("*.png"))
        if not self._files:
            raise FileNotFoundError(
                f"holes: expected depth images of 16 bits, *.png, in the folder {folder}; found none"
            )

    def __call__(self, index: int, frame: Frame) -> Frame:
        """Return a frame with the holes, scaled to its size, as 0 in its depth. Raises ValueError for other images."""
        stored = read_depth(self._files[index % len(self._files)])
        hole = (stored[:, ::-1] if index % 2 else stored) == 0
        depth = frame["depth"]
        rows, columns = (np.arange(new) * old // new for old, new in zip(hole.shape, depth.shape, strict=True))
        return frame | {"depth": np.where(hole[rows[:, None], columns], depth.dtype.type(0), depth)}


class CenterCrop:
    """The center of a frame alone, as of a camera of another aspect ratio; `outside` voids all labels but these.

    Args:
        size: height and width in pixels.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size

    def __call__(self, index: int, frame: Frame) -> Frame:
        """Return the center of all images. Raises ValueError where a frame is smaller."""
        center = self._center(index, frame)
        return {name: image[center] for name, image in frame.items()}

    def outside(self, index: int, frame: Frame) -> Frame:
        """Return the whole frame with labels in its center alone. Raises ValueError where a frame is smaller."""
        center = self._center(index, frame)
        label = np.full_like(frame["label"], VOID)
        label[center] = frame["label"][center]
        return frame | {"label": label}

    def _center(self, index: int, frame: Frame) -> tuple[slice, slice]:
        height, width = frame["label"].shape
        if height < self._size[0] or width < self._size[1]:
            wanted = "×".join(map(str, self._size))
            raise ValueError(
                f"center_crop: {wanted} does not fit into frame {index}, which has {height}×{width} pixels"
            )
        top, left = height - self._size[0], width - self._size[1]
        return slice(top // 2, top // 2 + self._size[0]), slice(left // 2, left // 2 + self._size[1])


class Grouped:
    """Truth by group, of labels of the classes that the groups are of."""

    def __init__(self, groups: LabelGroups) -> None:
        self._groups = groups

    def __call__(self, index: int, frame: Frame) -> Frame:
        """Return a frame with labels of groups. Raises ValueError where a label is no class."""
        return frame | {"label": self._groups.relabeled(frame["label"], f"frame {index}")}
