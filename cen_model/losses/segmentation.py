# SPDX-License-Identifier: Apache-2.0
"""The task of semantic segmentation: network inputs of a batch, and the loss.

Axes: B batch, C channels, K classes, H W pixels, h w the network's own resolution.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from cen_model.classes import VOID
from cen_model.config import SegmentationConfig
from cen_model.modalities import normalize

ENSEMBLE = "ensemble"
ALIGNMENT = "alignment"
AUXILIARY = "auxiliary/"
AUXILIARY_WEIGHT = 0.4


def inputs(batch: Mapping[str, Tensor], config: SegmentationConfig, device: torch.device) -> dict[str, Tensor]:
    """Normalized inputs (B, C, H, W) of a network of each of its modalities of a batch, channels last."""
    normalized = {name: normalize(name, batch[name].to(device), config.normalization) for name in config.modalities}
    return {name: image.contiguous(memory_format=torch.channels_last) for name, image in normalized.items()}


def resize(logits_BKhw: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits at `size` (H, W), bilinear."""
    # One plane per class: softmax and interpolation are faster on a CPU so than channels last.
    return F.interpolate(logits_BKhw.contiguous(), size=size, mode="bilinear", align_corners=False)


def losses(
    outputs: Mapping[str, Tensor],
    target_BHW: Tensor,
    alignment_weight: float = 1.0,
    pixels: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> dict[str, Tensor]:
    """The weighted terms of the task's loss; their sum is its part of Eq. 3 or 4.

    Cross-entropy of every output that is given; which they are, and what each of them trains, is the network's
    `supervision`. With one modality the ensemble is that modality's output and is not counted twice. Auxiliary heads
    count 0.4 (PSPNet), the alignment loss `alignment_weight`.

    Args:
        outputs: logits (B, K, h, w) of supervised streams, of the ensemble and of auxiliary heads; "alignment" is a
            scalar.
        target_BHW: class ids, 255 = void (ignored).
        pixels: how many pixels the cross-entropy is averaged over; None takes those of the target that are not void.
    """
    terms = dict(outputs)
    alignment = terms.pop(ALIGNMENT, None)
    if sum(not name.startswith(AUXILIARY) for name in terms) == 2:
        del terms[ENSEMBLE]
    target = target_BHW.long()
    count = ((target != VOID).sum() if pixels is None else pixels).clamp(min=1)
    for name, logits in terms.items():
        weight = AUXILIARY_WEIGHT if name.startswith(AUXILIARY) else 1.0
        resized = resize(logits, target.shape[-2:])
        total = F.cross_entropy(resized, target, ignore_index=VOID, reduction="sum", label_smoothing=label_smoothing)
        terms[name] = weight * total / count
    return terms if alignment is None else {**terms, ALIGNMENT: alignment_weight * alignment}
