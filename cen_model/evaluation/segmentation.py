# SPDX-License-Identifier: Apache-2.0
"""Confusion matrices of every output of a segmentation network on a dataset.

Axes: B batch, K classes, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_confusion_matrix

from cen_model.data.classes import VOID
from cen_model.evaluation.inference import InferenceConfig, predict
from cen_model.evaluation.missing import without

Watch = Callable[[int, Mapping[str, Tensor], np.ndarray], None]
"""(index of a frame, class scores (K, H, W) by output, the ensemble's confusion matrix (K, K) on that frame)"""


@torch.no_grad()
def count(
    model: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    config: InferenceConfig,
    drop: tuple[str, ...] = (),
    watch: Watch | None = None,
) -> dict[str, np.ndarray]:
    """Pixels by true class and by label: int64 (K, K) of every output; void is left out.

    Args:
        model: the network itself, on its device; it is left in evaluation mode.
        batches: raw values by modality, "label" and "index", as `cen_model.loaders.evaluation_loader` gives them.
        drop: modalities that are missing from every frame.
        watch: is told of every frame.

    Raises:
        ValueError: a label that is no class of the network.
    """
    model.eval()
    device = next(model.parameters()).device
    names, classes = model.config.modalities, len(model.config.classes)
    total: dict[str, np.ndarray] = {
        name: np.zeros((classes, classes), np.int64) for name in (*model.config.streams, "ensemble")
    }
    for batch in batches:
        images = {name: batch[name].to(device) for name in names}
        images |= {name: without(name, images[name]) for name in drop}
        target = batch["label"].to(device).long()
        _refuse_unknown(target, classes, batch["index"])
        scores = predict(model, images, tuple(target.shape[-2:]), config)
        for place, index in enumerate(batch["index"].tolist()):
            frame = {name: scores[name][place] for name in total}
            confusion = {name: confusion_of(each, target[place]) for name, each in frame.items()}
            for name, matrix in confusion.items():
                total[name] += matrix
            if watch:
                watch(index, frame, confusion["ensemble"])
    return total


def confusion_of(scores_KHW: Tensor, target_HW: Tensor) -> np.ndarray:
    """int64 (K, K), rows the truth, of the labels with the largest scores."""
    matrix = multiclass_confusion_matrix(
        scores_KHW.argmax(0), target_HW, len(scores_KHW), ignore_index=VOID, validate_args=False
    )
    return matrix.cpu().numpy()


def _refuse_unknown(target: Tensor, classes: int, indices: Tensor) -> None:
    known = target[target != VOID]
    if known.numel() and (largest := int(known.max())) >= classes:
        raise ValueError(
            f"label {largest} among the frames {indices.tolist()}: the network tells {classes} classes "
            f"(0 to {classes - 1}, {VOID} = void)"
        )
