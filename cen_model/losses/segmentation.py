# SPDX-License-Identifier: Apache-2.0
"""The task of semantic segmentation: network inputs of a batch, and the loss.

Axes: B batch, C channels, K classes, H W pixels, h w the network's own resolution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def _sample(logits_BKhw: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """Every pixel of `resize`, or of its rows and columns every `stride`-th, by two products of matrices.

    They compute no pixel that is not wanted, and their gradient takes a CPU a fraction of the time of interpolation's.
    """
    kind = {"device": logits_BKhw.device, "dtype": torch.promote_types(logits_BKhw.dtype, torch.float32)}
    rows_hH, columns_wW = (
        F.interpolate(torch.eye(short, **kind)[None], size=long, mode="linear")[0, :, ::stride]
        for short, long in zip(logits_BKhw.shape[-2:], size, strict=True)
    )
    with torch.autocast(logits_BKhw.device.type, enabled=False):
        return rows_hH.T @ logits_BKhw.to(**kind).contiguous() @ columns_wW


def _cross_entropy(logits: Tensor, target: Tensor, smoothing: float, sets: Sequence[Sequence[int]]) -> Tensor:
    """The sum over all pixels but void ones."""
    options = {"ignore_index": VOID, "reduction": "sum"}
    if not sets:
        return F.cross_entropy(logits, target, label_smoothing=smoothing, **options)
    together = [logits[:, list(members)].logsumexp(1, keepdim=True) for members in sets]
    return F.nll_loss(torch.cat([logits, *together], 1) - logits.logsumexp(1, keepdim=True), target, **options)


def losses(
    outputs: Mapping[str, Tensor],
    target_BHW: Tensor,
    alignment_weight: float = 1.0,
    pixels: Tensor | None = None,
    label_smoothing: float = 0.0,
    stride: int = 1,
    sets: Sequence[Sequence[int]] = (),
) -> dict[str, Tensor]:
    """The weighted terms of the task's loss; their sum is its part of Eq. 3 or 4.

    Cross-entropy of every output that is given; which they are, and what each of them trains, is the network's
    `supervision`. With one modality the ensemble is that modality's output and is not counted twice. Auxiliary heads
    count 0.4 (PSPNet), the alignment loss `alignment_weight`.

    Args:
        outputs: logits (B, K, h, w) of supervised streams, of the ensemble and of auxiliary heads; "alignment" is a
            scalar.
        target_BHW: class ids, 255 = void (ignored).
        pixels: how many pixels the cross-entropy is averaged over; None takes those that count and are not void.
        sets: what ids from K on stand for: each for one of several classes, whose probabilities are taken together.
        stride: of the pixels that count, in rows and columns: 2 takes a fourth of them.
    """
    terms = dict(outputs)
    alignment = terms.pop(ALIGNMENT, None)
    if sum(not name.startswith(AUXILIARY) for name in terms) == 2:
        del terms[ENSEMBLE]
    target = target_BHW[:, ::stride, ::stride].long()
    count = ((target != VOID).sum() if pixels is None else pixels).clamp(min=1)
    for name, logits in terms.items():
        weight = AUXILIARY_WEIGHT if name.startswith(AUXILIARY) else 1.0
        resized = _sample(logits, target_BHW.shape[-2:], stride)
        terms[name] = weight * _cross_entropy(resized, target, label_smoothing, sets) / count
    return terms if alignment is None else {**terms, ALIGNMENT: alignment_weight * alignment}
