# SPDX-License-Identifier: Apache-2.0
"""A frame as a robot with a broken sensor has it."""

from __future__ import annotations

import torch
from torch import Tensor

from cen_model.data.transforms import KINDS, NEUTRAL, Plane


def neutral(name: str) -> tuple[int, ...]:
    """Raw values, one for all channels or one for each, that say nothing: holes, or 0 after normalisation.

    They are those that a network was trained with to do without a modality.
    """
    return tuple(NEUTRAL[KINDS.get(name, Plane)])


def without(name: str, image_BCHW: Tensor) -> Tensor:
    """Raw values of a modality that is missing, in the shape of what it would have been."""
    values = torch.tensor(neutral(name), dtype=torch.float32, device=image_BCHW.device)
    return values.view(1, -1, 1, 1).expand(image_BCHW.shape)
