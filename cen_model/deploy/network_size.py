# SPDX-License-Identifier: Apache-2.0
"""The size that images are resized to for a network, within bounds: memory and time grow with its area."""

from __future__ import annotations

import logging
from functools import lru_cache

LOGGER = logging.getLogger("cen_model.deploy")
LARGEST_SIDE = 8192
"""Pixels."""
_AREAS = 4
"""How many times the area that a network was trained at images may have."""
_PROPORTION = 4 / 3
"""Of width to height in training, which networks do not keep; that of most depth cameras."""


@lru_cache(maxsize=64)  # a warning is said once for each size, not for each frame
def network_size(
    image: tuple[int, int], trained_height: int | None, chosen: tuple[int, int] | None = None
) -> tuple[int, int]:
    """Return the (height, width) that a network is to work at for images of (height, width), all in pixels.

    That is what the user has `chosen`, with a warning where it is much larger than in training; else the height of
    training, with the image's proportions; else the image's own size.

    Raises:
        ValueError: a side of the image or of the size is 0, or one of the size is over 8192; or the size follows from
            the height of training and is more than four times as large as images were there.
    """
    if min(image) < 1:
        raise ValueError(f"images of {_text(image)} (height × width): expected at least one pixel")
    size = chosen or proportional(image, trained_height)
    what = f"images of {_text(image)} (height × width) would be resized to {_text(size)} for the network"
    if not 1 <= min(size) <= max(size) <= LARGEST_SIDE:
        raise ValueError(f"{what}: expected sides of 1 to {LARGEST_SIDE}; {_remedy(chosen)}")
    if trained_height and size[0] * size[1] > _AREAS * trained_height**2 * _PROPORTION:
        usual = _text((trained_height, round(trained_height * _PROPORTION)))
        text = f"{what}, more than {_AREAS} times the {usual} of its training"
        if not chosen:
            raise ValueError(f"{text}; {_remedy(chosen)}")
        LOGGER.warning("%s: it takes memory and time in proportion", text)
    return size


def proportional(image: tuple[int, int], trained_height: int | None) -> tuple[int, int]:
    """Return the size at the height of training, with the proportions of the image; without a height, the image's."""
    height, width = image
    return (trained_height, round(width * trained_height / height)) if trained_height else image


def _remedy(chosen: tuple[int, int] | None) -> str:
    return "choose a smaller one" if chosen else "crop the images, or choose the network's size yourself (input_size)"


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
