# SPDX-License-Identifier: Apache-2.0
"""Confusion matrices of every output of a segmentation network.

Axes: B batch, K classes or groups of classes, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from torch import Tensor

from cen_model.classes import VOID
from cen_model.evaluation.calibration import count_levels
from cen_model.evaluation.inference_modes import InferenceConfig, predict, probability
from cen_model.evaluation.metrics import confusion_matrix
from cen_model.evaluation.missing_modality import without
from cen_model.label_groups import LabelGroups
from cen_model.nn.grouping import sum_groups, to_labels
from cen_model.nn.network import MultimodalNetwork


def count(
    model: MultimodalNetwork,
    batches: Iterable[Mapping[str, Tensor]],
    config: InferenceConfig,
    drop: tuple[str, ...] = (),
    watch: Callable[[int, np.ndarray, np.ndarray], None] | None = None,
    groups: LabelGroups | None = None,
) -> dict[str, np.ndarray]:
    """Pixels by true class and by label: int64, as `matrix_shape` has it, of every output; void truth is left out.

    Args:
        model: the network itself, on its device; it is left in evaluation mode.
        batches: as `cen_model.data.loaders.evaluation_loader` gives them.
        drop: modalities that are missing from every frame; the batches need not have them.
        watch: is told of every frame, as `cen_model.evaluation.labeler.Watch` says.
        groups: of the network's classes, where labels are to be of groups, as the truth is.

    Raises:
        ValueError: a label that is no class of the network.
    """
    shape = matrix_shape(model.config.classes, groups)
    total = {name: np.zeros(shape, np.int64) for name in (*model.config.streams, "ensemble")}
    for batch in batches:
        scores = class_scores(model, batch, config, drop, groups)
        for place, index in enumerate(batch["index"].tolist()):
            matrices = _matrices(scores, batch, place, shape)
            for name, matrix in matrices.items():
                total[name] += matrix
            if watch:
                labels, certain = labels_of(scores["ensemble"][place], config, groups)
                confidence = (255 * certain).round().byte()
                arrays = (each.cpu().numpy() for each in (batch["label"][place], labels, confidence))
                watch(index, matrices["ensemble"], count_levels(*arrays))
    return total


def matrix_shape(classes: Sequence[str], groups: LabelGroups | None) -> tuple[int, int]:
    """Return the shape of confusion matrices: (K, K), or (K, K + 1) where groups leave a class, and so labels, void."""
    names = groups.names if groups else classes
    return len(names), len(names) + bool(groups and VOID in groups.ids)


def class_scores(
    model: MultimodalNetwork,
    batch: Mapping[str, Tensor],
    config: InferenceConfig,
    drop: tuple[str, ...] = (),
    groups: LabelGroups | None = None,
) -> dict[str, Tensor]:
    """Class scores (B, K, H, W) of every output at the labels' size, as `predict` has them; probabilities of groups."""
    model.eval()
    device = next(model.parameters()).device
    images = {name: batch[name].to(device) for name in model.config.modalities if name not in drop}
    beside = next(iter(images.values()))
    images |= {name: without(name, beside) for name in drop}
    scores = predict(model, images, tuple(batch["label"].shape[-2:]), config)
    if groups is None:
        return scores
    probabilities = scores if config.gives_probabilities else {name: each.softmax(1) for name, each in scores.items()}
    return {name: sum_groups(each, groups.ids) for name, each in probabilities.items()}


def labels_of(scores_KHW: Tensor, config: InferenceConfig, groups: LabelGroups | None) -> tuple[Tensor, Tensor]:
    """Return the labels of a frame, uint8 (H, W), and their probabilities (H, W), of what `class_scores` gives."""
    places = scores_KHW.max(0).indices
    labels = to_labels(places, groups.ids) if groups else places
    return labels.byte(), scores_KHW.amax(0) if groups else probability(scores_KHW, config)


def _matrices(
    scores: Mapping[str, Tensor], batch: Mapping[str, Tensor], place: int, shape: tuple[int, int]
) -> dict[str, np.ndarray]:
    """Return the confusion matrices of every output on one frame of a batch."""
    truth, name = batch["label"][place].numpy(), f"frame {int(batch['index'][place])}"
    # On a CPU, max is several times faster than argmax.
    labels = {output: each[place].max(0).indices.byte().cpu().numpy() for output, each in scores.items()}
    return {output: confusion_matrix(truth, each, shape[0], name)[:, : shape[1]] for output, each in labels.items()}
