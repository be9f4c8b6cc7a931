# SPDX-License-Identifier: Apache-2.0
"""The task of semantic segmentation: network inputs of a batch, loss, evaluation.

Axes: B batch, C channels, K classes, H W pixels, h w the network's own resolution.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics.classification import MulticlassConfusionMatrix

from cen_model.data.classes import VOID
from cen_model.metrics import Scores
from cen_model.modalities import normalise

ENSEMBLE = "ensemble"
ALIGNMENT = "alignment"
AUXILIARY = "auxiliary/"
AUXILIARY_WEIGHT = 0.4


def inputs(batch: Mapping[str, Tensor], modalities: tuple[str, ...], device: torch.device) -> dict[str, Tensor]:
    """Normalised inputs (B, C, H, W) of each modality of a batch, channels last."""
    return {
        name: normalise(name, batch[name].to(device)).contiguous(memory_format=torch.channels_last)
        for name in modalities
    }


def resize(logits_BKhw: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits at `size` (H, W), bilinear."""
    # One plane per class: softmax and interpolation are faster on a CPU so than channels last.
    return F.interpolate(logits_BKhw.contiguous(), size=size, mode="bilinear", align_corners=False)


def losses(outputs: Mapping[str, Tensor], target_BHW: Tensor, alignment_weight: float = 1.0) -> dict[str, Tensor]:
    """The weighted terms of the task's loss; their sum is its part of Eq. 3 or 4, as the published code has it.

    Cross-entropy of every output. The ensemble is a mix of detached logits, so its term trains the weights α alone, and
    every modality's term its own stream. With one modality the ensemble is that modality's output and is not counted
    twice. Auxiliary heads count 0.4 (PSPNet), the alignment loss `alignment_weight`.

    Args:
        outputs: logits (B, K, h, w) of every stream, of the ensemble and of auxiliary heads; "alignment" is a scalar.
        target_BHW: class ids, 255 = void (ignored).
    """
    terms = dict(outputs)
    alignment = terms.pop(ALIGNMENT, None)
    if sum(not name.startswith(AUXILIARY) for name in terms) == 2:
        del terms[ENSEMBLE]
    target = target_BHW.long()
    for name, logits in terms.items():
        weight = AUXILIARY_WEIGHT if name.startswith(AUXILIARY) else 1.0
        terms[name] = weight * F.cross_entropy(resize(logits, target.shape[-2:]), target, ignore_index=VOID)
    return terms if alignment is None else {**terms, ALIGNMENT: alignment_weight * alignment}


@torch.no_grad()
def evaluate(
    model: nn.Module, modalities: tuple[str, ...], classes: int, batches: Iterable[Mapping[str, Tensor]]
) -> dict[str, Scores]:
    """Scores of every output at the labels' full resolution; the model is left in evaluation mode.

    Args:
        batches: ``{rgb uint8 (B, 3, H, W), depth float32 (B, 1, H, W) metres, label uint8 (B, H, W)}``.
    """
    model.eval()
    device = next(model.parameters()).device
    confusion = defaultdict(
        lambda: MulticlassConfusionMatrix(classes, ignore_index=VOID, validate_args=False).to(device)
    )
    for batch in batches:
        target = batch["label"].to(device).long()
        for name, logits in model(inputs(batch, modalities, device)).items():
            confusion[name].update(resize(logits, target.shape[-2:]).argmax(1), target)
    return {name: Scores.of(matrix.compute().cpu().numpy()) for name, matrix in confusion.items()}
