# SPDX-License-Identifier: Apache-2.0
"""One evaluation by command: from options to results and pictures.

Axes: K classes, H W pixels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch

from cen_model import checkpoint
from cen_model.classes import LabelSet
from cen_model.data.altered import Altered
from cen_model.data.catalog import open_dataset
from cen_model.data.dataset import Dataset
from cen_model.evaluation import examples
from cen_model.evaluation.altered_frames import CenterCrop, Grouped, Holes
from cen_model.evaluation.dataset_scores import refuse_other_classes
from cen_model.evaluation.engine_labeler import EngineLabeler
from cen_model.evaluation.fidelity import inception
from cen_model.evaluation.frame_subset import Chosen
from cen_model.evaluation.image_distances import SIZE, Generator
from cen_model.evaluation.labeler import NetworkLabeler
from cen_model.evaluation.options import Options
from cen_model.evaluation.segmentation_evaluation import Segmented
from cen_model.evaluation.translation_evaluation import Translated
from cen_model.label_groups import LabelGroups, read_groups
from cen_model.nn.network import MultimodalNetwork
from cen_model.predictor import NONE, Deployment, Predictor
from cen_model.utils import provenance
from cen_model.utils.devices import default_device
from cen_model.utils.ranks import Ranks

PACKAGES = ("cen_ros", "torch", "torchvision", "torchmetrics", "numpy")
"""Whose versions the results name."""


class Task(Protocol):
    """What an evaluation does for one of the two tasks."""

    by: str
    """The value of the section `frames` by which frames are good or bad."""
    lower_is_better: bool
    runs_on: str

    def sections(self, watch: Callable[[int], None]) -> dict[str, Any]:
        """The sections of the results that are the task's own, "frames" among them; `watch` is told of every frame."""

    def draw(self, index: int) -> dict[str, np.ndarray]:
        """Images uint8 (H, W, 3) of a frame by title."""


@dataclass(frozen=True)
class Evaluation:
    """Results, as `cen_model.evaluation.results` describes them, and images by heading, frame and title."""

    results: dict[str, Any]
    dataset: Dataset
    examples: Mapping[str, Mapping[int, Mapping[str, np.ndarray]]]


def evaluate(options: Options, command: str, ranks: Ranks, start: Callable[[int], Callable[[int], None]]) -> Evaluation:
    """Measure a network; every process has the results, the first one the pictures, if there is to be a report.

    Args:
        command: that this was asked by.
        start: is told the number of frames of this process, and gives what is told of each of them.

    Raises:
        ValueError, OSError: the weights, the data or the options do not fit each other, or cannot be read.
    """
    began = time.monotonic()
    model = checkpoint.load(options.weights)
    device = torch.device(ranks.device() or default_device())
    model.to(device)
    _refuse_unknown_modalities(model, options.drop)
    _refuse_other_tasks(model, options)
    groups = _groups(options, model)
    dataset = _dataset(options, model, groups)
    watch = start(len(ranks.part(len(dataset))) * (2 if options.center_crop else 1))
    compared = {}
    if options.center_crop:
        compared = _in_whole_frames(model, dataset, options, device, watch, groups)
        dataset = Altered(dataset, CenterCrop(options.center_crop))
    task = _task(model, dataset, options, device, groups)
    sections = task.sections(watch) | compared
    shown = {}
    if options.output and ranks.rank == 0:
        chosen = examples.choose(sections["frames"], task.by, task.lower_is_better)
        shown = {title: {index: task.draw(index) for index in indices} for title, indices in chosen.items()}
    data = options.data
    results = {
        "task": model.config.task,
        "data": {
            **{name: getattr(data, name) for name in ("dataset", "layout", "label_set")},
            "root": str(data.root) if data.root else None,
            "split": options.split,
            "frames": len(dataset),
        },
        "inference": {**_inference(options, model.config.task), **_changes(options), "runs_on": task.runs_on},
        "network": {
            "modalities": list(model.config.modalities),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "exchanged": model.exchanged_share() if model.config.exchange else None,
            "temperature": getattr(model.config, "temperature", None),
        },
        **sections,
        "run": {
            "weights": options.weights,
            "command": command,
            "commit": provenance.commit(),
            "versions": provenance.versions(PACKAGES),
            "device": provenance.device_name(device),
            "processes": ranks.size,
            "seconds": round(time.monotonic() - began, 1),
        },
    }
    return Evaluation(results, dataset, shown)


def _groups(options: Options, model: MultimodalNetwork) -> LabelGroups | None:
    if options.label_groups is None:
        return None
    if model.config.task == "translation":
        raise ValueError("label_groups: the network makes images, and tells no classes")
    return read_groups(options.label_groups, model.config.classes)


def _dataset(options: Options, model: MultimodalNetwork, groups: LabelGroups | None) -> Dataset:
    names = _seen(model, options)
    if model.config.task == "translation":
        names = (*names, model.config.target)
    alone = Ranks.current().size == 1  # of several processes, each renders the scenes of its own share
    dataset = open_dataset(options.data, options.split, names, render=alone)
    if model.config.task == "segmentation":
        dataset = _comparable(dataset, model.config.classes, groups)
    if options.holes:
        dataset = Altered(dataset, Holes(options.holes))
    return dataset if options.frames is None else Chosen(dataset, range(min(options.frames, len(dataset))))


def _comparable(dataset: Dataset, classes: tuple[str, ...], groups: LabelGroups | None) -> Dataset:
    """Return a dataset whose truth is of what labels are of; one that is of the groups itself stays as it is."""
    if groups and dataset.labels and dataset.labels.names == groups.names:
        return dataset
    refuse_other_classes(classes, dataset)
    return Altered(dataset, Grouped(groups), LabelSet.of(groups.names)) if groups else dataset


def _task(
    model: MultimodalNetwork, dataset: Dataset, options: Options, device: torch.device, groups: LabelGroups | None
) -> Task:
    if model.config.task == "translation":
        if options.backend != NONE or not options.inference.is_plain:
            raise ValueError("a generator is run as it was trained, once and whole: no backend, mode multi or window")
        data = replace(options.data, size=options.inference.size)
        network = inception(options.inception).to(device) if options.fid else None
        return Translated(Generator(model, dataset, data, options.translation, options.drop), dataset, network)
    shown = _seen(model, options)
    if options.backend == NONE:
        labeler = NetworkLabeler(model, dataset, options.data, options.inference, options.drop, groups)
        return Segmented(labeler, dataset, shown)
    if not options.inference.is_plain:
        raise ValueError(f"backend {options.backend}: an engine sees each frame once and whole; mode single, no window")
    deployment = Deployment(options.backend, options.precision, confidence=True)
    predictor = Predictor(model, options.inference.size, str(device), deployment, options.label_groups)
    return Segmented(EngineLabeler(predictor, dataset, options.drop), dataset, shown)


def _in_whole_frames(
    model: MultimodalNetwork,
    dataset: Dataset,
    options: Options,
    device: torch.device,
    watch: Callable[[int], None],
    groups: LabelGroups | None,
) -> dict[str, Any]:
    """Measure the pixels of the center crop with the whole frame in view."""
    outside = Altered(dataset, CenterCrop(options.center_crop).outside)
    sections = _task(model, outside, options, device, groups).sections(watch)
    return {"whole_frame": {key: sections[key] for key in ("scores", "confusion")}}


def _inference(options: Options, task: str) -> dict[str, Any]:
    """What had a say in how the network was run."""
    if task == "translation":
        return {"size": options.inference.size or SIZE, **asdict(options.translation)}
    values = {**asdict(options.inference), "label_groups": options.label_groups}
    if options.inference.mode == "single":
        values |= {"scales": None, "flip": None}
    if options.inference.is_plain:
        values["average"] = None
    return values


def _changes(options: Options) -> dict[str, Any]:
    """What was changed of the frames."""
    crop = options.center_crop
    return {
        "drop": list(options.drop),
        "holes": str(options.holes) if options.holes else None,
        "center_crop": list(crop) if crop else None,
    }


def _refuse_unknown_modalities(model: MultimodalNetwork, drop: tuple[str, ...]) -> None:
    names = model.config.modalities
    if other := set(drop) - set(names):
        raise ValueError(f"drop: the network takes {', '.join(names)}, not {', '.join(sorted(other))}")
    if set(drop) == set(names):
        raise ValueError(f"drop: nothing is left of {', '.join(names)}")


def _refuse_other_tasks(model: MultimodalNetwork, options: Options) -> None:
    task, seen = model.config.task, _seen(model, options)
    if options.center_crop and task != "segmentation":
        raise ValueError(f"center_crop: expected a segmentation network, got one for {task}")
    if options.holes and (task != "segmentation" or "depth" not in seen):
        raise ValueError(
            f"holes: expected a segmentation network that sees depth, got one for {task} of {', '.join(seen)}"
        )


def _seen(model: MultimodalNetwork, options: Options) -> tuple[str, ...]:
    """Return the modalities that the network is given."""
    return tuple(name for name in model.config.modalities if name not in options.drop)
