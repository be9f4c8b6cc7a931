# SPDX-License-Identifier: Apache-2.0
"""Confusion matrices of every output of a segmentation network.

Axes: B batch, K classes, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from torch import Tensor

from cen_model.evaluation.calibration import count_levels
from cen_model.evaluation.inference_modes import InferenceConfig, predict, probability
from cen_model.evaluation.metrics import confusion_matrix
from cen_model.evaluation.missing_modality import without
from cen_model.nn.network import MultimodalNetwork


def count(
    model: MultimodalNetwork,
    batches: Iterable[Mapping[str, Tensor]],
    config: InferenceConfig,
    drop: tuple[str, ...] = (),
    watch: Callable[[int, np.ndarray, np.ndarray], None] | None = None,
) -> dict[str, np.ndarray]:
    """Pixels by true class and by label: int64 (K, K) of every output; void is left out.

    Args:
        model: the network itself, on its device; it is left in evaluation mode.
        batches: as `cen_model.data.loaders.evaluation_loader` gives them.
        drop: modalities that are missing from every frame; the batches need not have them.
        watch: is told of every frame, as `cen_model.evaluation.labeler.Watch` says.

    Raises:
        ValueError: a label that is no class of the network.
    """
    classes = len(model.config.classes)
    total = {name: np.zeros((classes, classes), np.int64) for name in (*model.config.streams, "ensemble")}
    for batch in batches:
        scores = class_scores(model, batch, config, drop)
        for place, index in enumerate(batch["index"].tolist()):
            matrices = _matrices(scores, batch, place, classes)
            for name, matrix in matrices.items():
                total[name] += matrix
            if watch:
                watch(index, matrices["ensemble"], _levels(scores["ensemble"][place], batch["label"][place], config))
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


def _levels(scores_KHW: Tensor, truth_HW: Tensor, config: InferenceConfig) -> np.ndarray:
    """Return wrong and right labels by confidence in the steps in which it is published, int64 (2, 256)."""
    confidence = (255 * probability(scores_KHW, config)).round().byte()
    arrays = (truth_HW, scores_KHW.max(0).indices.byte(), confidence)
    return count_levels(*(each.cpu().numpy() for each in arrays))


def _matrices(
    scores: Mapping[str, Tensor], batch: Mapping[str, Tensor], place: int, classes: int
) -> dict[str, np.ndarray]:
    """Return the confusion matrices int64 (K, K) of every output on one frame of a batch."""
    truth, name = batch["label"][place].numpy(), f"frame {int(batch['index'][place])}"
    # On a CPU, max is several times faster than argmax.
    labels = {output: each[place].max(0).indices.byte().cpu().numpy() for output, each in scores.items()}
    return {output: confusion_matrix(truth, each, classes, name)[:, :classes] for output, each in labels.items()}
