# SPDX-License-Identifier: Apache-2.0
"""Scores of a network on a dataset, in one process or shared between those that are joined."""

from __future__ import annotations

import numpy as np

from cen_model.data.data_config import DataConfig
from cen_model.data.dataset import Dataset
from cen_model.evaluation.image_distances import Generator, TranslationOptions, measure_images
from cen_model.evaluation.inference_modes import InferenceConfig
from cen_model.evaluation.labeler import NetworkLabeler
from cen_model.evaluation.metrics import ImageScores, Scores
from cen_model.nn.network import MultimodalNetwork
from cen_model.utils.ranks import Ranks


def measure_scores(
    model: MultimodalNetwork,
    dataset: Dataset,
    data: DataConfig,
    inference: InferenceConfig | None = None,
    drop: tuple[str, ...] = (),
) -> dict[str, Scores] | dict[str, ImageScores]:
    """Scores of every output: of a segmentation network at the labels' own resolution, or errors of translated images.

    Processes that are joined (torchrun, Fabric) each label their share, and all get the scores of the whole. The model
    must be one that each process can run alone: the network itself, not one wrapped for DDP or FSDP.

    Args:
        model: on its device; it is left in evaluation mode.
        dataset: with labels, or the network's target.
        data: `size` is what frames are resized to for the network, unless `inference` says so; labels are not resized.
            Translation takes it, or else 256×256, for inputs and real images.
        inference: of a segmentation network.
        drop: modalities that are missing from every frame.

    Raises:
        ValueError: the dataset's classes are not the network's.
    """
    if model.config.task == "translation":
        return measure_images(Generator(model, dataset, data, TranslationOptions(), drop))
    refuse_other_classes(model.config.classes, dataset)
    labeler = NetworkLabeler(model, dataset, data, inference or InferenceConfig(), drop)
    confusion = summed(labeler.confusions(), Ranks.current())
    return {name: Scores.of(matrix) for name, matrix in confusion.items()}


def summed(confusion: dict[str, np.ndarray], ranks: Ranks) -> dict[str, np.ndarray]:
    """Confusion matrices of all processes together; exact, for they are integers."""
    parts = ranks.each(confusion)
    return {name: sum(part[name] for part in parts) for name in confusion}


def refuse_other_classes(classes: tuple[str, ...], dataset: Dataset) -> None:
    """Raise ValueError unless the dataset has labels of these classes; numbered ones stand for any."""
    if dataset.labels is None:
        raise ValueError("the dataset has no labels to measure by")
    names = dataset.labels.names
    if len(names) != len(classes):
        raise ValueError(
            f"the network tells {len(classes)} classes ({', '.join(classes[:4])}, …), the dataset has {len(names)} "
            f"({', '.join(names[:4])}, …): choose the dataset, or the label set, that it was trained on"
        )
    other = [f"{i}: {a} ≠ {b}" for i, (a, b) in enumerate(zip(classes, names, strict=True)) if a != b]
    if other and not all(name.isdigit() for name in classes):
        raise ValueError(f"the network's classes are not the dataset's: {', '.join(other[:4])}")
