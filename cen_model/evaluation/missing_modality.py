# SPDX-License-Identifier: Apache-2.0
"""A frame as a robot with a broken sensor has it."""

from __future__ import annotations

import torch
from torch import Tensor

from cen_model.data.transforms import KINDS, NEUTRAL, Plane
from cen_model.modalities import modality


def neutral(name: str) -> tuple[int, ...]:
    """Raw values, one for all channels or one for each, that say nothing: holes, or 0 after normalization.

    They are those that a network was trained with to do without a modality.
    """
    return tuple(NEUTRAL[KINDS.get(name, Plane)])


def without(name: str, other_BCHW: Tensor) -> Tensor:
    """Raw values float32 (B, C, H, W) of a modality that is missing, beside an image of another one."""
    batch, _, height, width = other_BCHW.shape
    values = torch.tensor(neutral(name), dtype=torch.float32, device=other_BCHW.device)
    return values.view(1, -1, 1, 1).expand(batch, modality(name).channels, height, width)
