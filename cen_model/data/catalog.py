# SPDX-License-Identifier: Apache-2.0
"""Every dataset by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np

from cen_model.classes import LABEL_SETS
from cen_model.data.coarse_labels import CoarseLabels
from cen_model.data.data_config import DataConfig, Split
from cen_model.data.dataset import Dataset
from cen_model.data.derived import Derived, source_of
from cen_model.data.formats import cityscapes, nyudv2, sunrgbd, taskonomy
from cen_model.data.formats.custom import open_custom
from cen_model.data.formats.file_dataset import FileDataset
from cen_model.data.formats.layouts import Layout, open_layout
from cen_model.data.formats.packed import open_packed
from cen_model.data.joined import Joined
from cen_model.scenes.scene_dataset import SyntheticScenes, prerender
from cen_model.utils.files import cache_directory
from cen_model.utils.validation import look_up


class Synthetic(SyntheticScenes):
    """Synthetic scenes, kept in the project's cache."""

    modalities = ("rgb", "depth")
    labels = LABEL_SETS["nyu13"]

    def __init__(self, seeds: range, size: tuple[int, int]) -> None:
        super().__init__(seeds, size, cache_directory() / "scenes")

    def render(self) -> None:
        """Render on all cores what is not there yet; what is left is rendered when it is first asked for."""
        prerender(self.seeds, self.size, self.cache_dir, workers=os.cpu_count() or 1)

    def describe(self, index: int) -> str:
        return f"synthetic scene {self.seeds[index]}"

    def intrinsics(self, index: int) -> np.ndarray | None:
        return None  # the camera of a scene differs from seed to seed, and is not kept


def _open_synthetic(config: DataConfig, split: Split) -> Dataset:
    others = ", ".join(name for name in DATASETS if name != "synthetic")
    for key, value in (("root", config.root), ("layout", config.layout)):
        if value is not None:  # else the scenes would be taken for what is in the folder
            raise ValueError(f"data.{key}: synthetic scenes have no folder, got {value}; name data.dataset ({others})")
    return Synthetic(config.synthetic.seeds(split), config.synthetic.size)


def _in(layouts: dict[str, Layout]) -> Callable[[DataConfig, Split], Dataset]:
    return lambda config, split: open_layout(config, split, layouts)


DATASETS: dict[str, Callable[[DataConfig, Split], Dataset]] = {
    "synthetic": _open_synthetic,
    "nyudv2": _in(nyudv2.LAYOUTS),
    "sunrgbd": _in(sunrgbd.LAYOUTS),
    "cityscapes": _in(cityscapes.LAYOUTS),
    "taskonomy": _in(taskonomy.LAYOUTS),
    "custom": open_custom,
    "packed": open_packed,
}


def open_dataset(config: DataConfig, split: Split, modalities: Sequence[str], render: bool = True) -> Dataset:
    """A split of the dataset that `config` names; modalities that it lacks are derived from those it has.

    Behind the training frames come the validation frames with `config.include_validation`, and synthetic scenes with
    `config.with_synthetic`.

    Args:
        render: synthetic scenes that are not there yet, all at once; else each when it is first asked for.

    Raises:
        FileNotFoundError: a folder or file that is named is not there.
        ValueError: the dataset, its layout or its label set is unknown, synthetic scenes are given a folder, or a
            modality cannot be derived.
    """
    if split != "train" or not (config.include_validation or config.with_synthetic):
        return _open_split(config, split, modalities, render)
    parts = ("train", "validation") if config.include_validation else ("train",)
    datasets = [_open_split(config, part, modalities, render) for part in parts]
    return Joined([*datasets, *_scenes_beside(datasets[0], config, modalities, render)])


def _scenes_beside(dataset: Dataset, config: DataConfig, modalities: Sequence[str], render: bool) -> list[Dataset]:
    if not config.with_synthetic:
        return []
    if config.dataset == "synthetic" or dataset.labels is None:
        why = "is synthetic" if dataset.labels else "has no labels"
        raise ValueError(f"data.with_synthetic: the data {why} itself; leave the key out")
    scenes = DataConfig(synthetic=config.synthetic)
    return [CoarseLabels(_open_split(scenes, "train", modalities, render), dataset.labels)]


def _open_split(config: DataConfig, split: Split, modalities: Sequence[str], render: bool) -> Dataset:
    dataset = look_up("data.dataset", config.dataset, DATASETS)(config, split)
    if config.label_set is not None and dataset.labels != look_up("data.label_set", config.label_set, LABEL_SETS):
        found = f"{len(dataset.labels.names)} classes of its own" if dataset.labels else "no labels"
        raise ValueError(f"data.label_set: {config.dataset} has {found}, which cannot be read as {config.label_set}")
    if isinstance(dataset, FileDataset):
        there = dataset.modalities
        read = {name if name in there else source_of(name, there) for name in modalities}
        if None not in read:
            dataset.keep(read)
    opened = dataset if set(modalities) <= set(dataset.modalities) else Derived(dataset, modalities)
    if render and isinstance(dataset, Synthetic):
        dataset.render()
    return opened
