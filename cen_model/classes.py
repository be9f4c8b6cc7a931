# SPDX-License-Identifier: Apache-2.0
"""Class names and colors of the label sets the project knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

VOID = 255
"""Label of a pixel that has no class; never trained on, never scored."""

NYU13 = (
    "bed",
    "books",
    "ceiling",
    "chair",
    "floor",
    "furniture",
    "objects",
    "picture",
    "sofa",
    "table",
    "tv",
    "wall",
    "window",
)
"""The 13 classes of NYUDv2 (Couprie et al. 2013), in their usual order."""

NYU40 = (
    "wall",
    "floor",
    "cabinet",
    "bed",
    "chair",
    "sofa",
    "table",
    "door",
    "window",
    "bookshelf",
    "picture",
    "counter",
    "blinds",
    "desk",
    "shelves",
    "curtain",
    "dresser",
    "pillow",
    "mirror",
    "floor mat",
    "clothes",
    "ceiling",
    "books",
    "refrigerator",
    "television",
    "paper",
    "towel",
    "shower curtain",
    "box",
    "whiteboard",
    "person",
    "night stand",
    "toilet",
    "sink",
    "lamp",
    "bathtub",
    "bag",
    "otherstructure",
    "otherfurniture",
    "otherprop",
)
"""The 40 classes of NYUDv2 (Gupta et al. 2013), in their usual order."""


NYU13_OF_NYU40 = tuple(
    NYU13.index(name)
    for name in (
        *("wall", "floor", "furniture", "bed", "chair", "sofa", "table", "wall", "window", "furniture"),
        *("picture", "furniture", "window", "table", "furniture", "window", "furniture", "objects", "objects", "floor"),
        *("objects", "ceiling", "books", "furniture", "tv", "objects", "objects", "objects", "objects", "objects"),
        *("objects", "furniture", "objects", "objects", "objects", "objects", "objects", "objects", "furniture"),
        "objects",
    )
)
"""The id in NYU13 of each of the 40 classes."""

SUN37 = NYU40[:37]
"""The 37 classes of SUN RGB-D (Song et al. 2015)."""

CITYSCAPES19 = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}
"""The 19 classes that Cityscapes evaluates, in the order of their train ids, with its colors."""


def merging(ids: Sequence[int]) -> np.ndarray:
    """A table uint8 (256,) from classes to the ids that they become; all else is void."""
    table = np.full(VOID + 1, VOID, np.uint8)
    table[: len(ids)] = ids
    return table


def palette(n: int) -> np.ndarray:
    """Colors for `n` classes: uint8 (n, 3) RGB, the PASCAL VOC color map without its black first entry."""
    ids = np.arange(1, n + 1, dtype=np.uint8)
    bits = ((ids[:, None] >> np.arange(8, dtype=np.uint8)) & 1).astype(np.int64)  # (n, 8), least significant first
    channels = [sum(bits[:, 3 * k + c] << (7 - k) for k in range(3) if 3 * k + c < 8) for c in range(3)]
    return np.stack(channels, axis=1).astype(np.uint8)


def color_table(classes: int) -> np.ndarray:
    """RGB of every label: uint8 (256, 3), of `palette`; black for every id that is no class, `VOID` among them."""
    return _table(palette(classes))


def _table(colors: Sequence[Sequence[int]] | np.ndarray) -> np.ndarray:
    table = np.zeros((VOID + 1, 3), np.uint8)
    table[: len(colors)] = colors
    return table


@dataclass(frozen=True)
class LabelSet:
    """The classes of a dataset, in the order of their ids, with a color for each."""

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    """RGB, 0 to 255."""
    sets: tuple[tuple[int, ...], ...] = ()
    """What ids from `len(names)` on stand for, in training data alone: each for one of several classes."""

    @classmethod
    def of(cls, names: tuple[str, ...]) -> LabelSet:
        """With the colors of `palette`."""
        return cls(names, tuple(map(tuple, palette(len(names)).tolist())))

    def table(self) -> np.ndarray:
        """RGB of every label: uint8 (256, 3); black for every id that is no class, `VOID` among them."""
        return _table(self.colors)


LABEL_SETS = {
    "nyu40": LabelSet.of(NYU40),
    "nyu13": LabelSet.of(NYU13),
    "sun37": LabelSet.of(SUN37),
    "cityscapes19": LabelSet(tuple(CITYSCAPES19), tuple(CITYSCAPES19.values())),
}
