# SPDX-License-Identifier: Apache-2.0
"""What every dataset of the project is: frames of NumPy arrays, in order, whatever the files look like."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from cen_model.classes import LabelSet


@runtime_checkable
class Dataset(Protocol):
    """One split of a dataset.

    A frame is a dict of arrays of one height and width, by modality: ``rgb`` uint8 (H, W, 3); ``depth`` uint16
    millimeters or float32 meters (H, W), 0 = hole, as in ROS's REP 118; ``normal``, ``hha`` and ``curvature`` uint8
    (H, W, 3); ``shade``, ``texture`` and ``edge`` uint8 (H, W); and ``label`` uint8 (H, W), ids into
    `labels`, 255 = void.

    Attributes:
        modalities: what every frame has, besides its label.
        labels: the classes; None where frames have no label.
    """

    modalities: tuple[str, ...]
    labels: LabelSet | None

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """A frame. Raises ValueError that names the file that cannot be read, or does not fit the others."""

    def describe(self, index: int) -> str:
        """The file, or files, of a frame, for people."""

    def intrinsics(self, index: int) -> np.ndarray | None:
        """The pinhole camera (3, 3) in pixels of the frame as it is given; None where it is not known."""
