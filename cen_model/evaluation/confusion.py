# SPDX-License-Identifier: Apache-2.0
"""Confusion matrices of every output of a segmentation network.

Axes: B batch, K classes, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from cen_model.classes import VOID
from cen_model.evaluation.inference_modes import InferenceConfig, predict
from cen_model.evaluation.missing_modality import without
from cen_model.nn.network import MultimodalNetwork


def count(
    model: MultimodalNetwork,
    batches: Iterable[Mapping[str, Tensor]],
    config: InferenceConfig,
    drop: tuple[str, ...] = (),
    watch: Callable[[int, np.ndarray], None] | None = None,
) -> dict[str, np.ndarray]:
    """Pixels by true class and by label: int64 (K, K) of every output; void is left out.

    Args:
        model: the network itself, on its device; it is left in evaluation mode.
        batches: as `cen_model.data.loaders.evaluation_loader` gives them.
        drop: modalities that are missing from every frame; the batches need not have them.
        watch: is told the index of every frame and the ensemble's confusion matrix on it.

    Raises:
        ValueError: a label that is no class of the network.
    """
    classes = len(model.config.classes)
    total = {name: np.zeros((classes, classes), np.int64) for name in (*model.config.streams, "ensemble")}
    for batch in batches:
        _refuse_unknown(batch["label"], classes, batch["index"])
        scores = class_scores(model, batch, config, drop)
        target = batch["label"].to(scores["ensemble"].device).long()
        for place, index in enumerate(batch["index"].tolist()):
            matrices = {name: _confusion(scores[name][place], target[place]) for name in total}
            for name, matrix in matrices.items():
                total[name] += matrix
            if watch:
                watch(index, matrices["ensemble"])
    return total


def class_scores(
    model: MultimodalNetwork, batch: Mapping[str, Tensor], config: InferenceConfig, drop: tuple[str, ...] = ()
) -> dict[str, Tensor]:
    """Class scores (B, K, H, W) of every output at the labels' size, as `predict` has them."""
    model.eval()
    device = next(model.parameters()).device
    images = {name: batch[name].to(device) for name in model.config.modalities if name not in drop}
    beside = next(iter(images.values()))
    images |= {name: without(name, beside) for name in drop}
    return predict(model, images, tuple(batch["label"].shape[-2:]), config)


def _confusion(scores_KHW: Tensor, target_HW: Tensor) -> np.ndarray:
    labels_HW = scores_KHW.max(0).indices  # on a CPU several times faster than argmax
    matrix = multiclass_confusion_matrix(labels_HW, target_HW, len(scores_KHW), ignore_index=VOID, validate_args=False)
    return matrix.cpu().numpy()


def _refuse_unknown(labels: Tensor, classes: int, indices: Tensor) -> None:
    known = labels[labels != VOID]
    if known.numel() and (largest := int(known.max())) >= classes:
        raise ValueError(
            f"label {largest} among the frames {indices.tolist()}: the network tells {classes} classes "
            f"(0 to {classes - 1}, {VOID} = void)"
        )
