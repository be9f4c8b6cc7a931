# SPDX-License-Identifier: Apache-2.0
"""The weights that a network starts its training with: those of one of this project's checkpoints, where they fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import torch

from cen_model import checkpoint
from cen_model.config import SegmentationConfig
from cen_model.models import build
from cen_model.nn.modal import PrivateConv, PrivateNorm
from cen_model.nn.network import MultimodalNetwork
from cen_model.nn.rescaling import scale_values

Key = tuple[str, str | None]
"""A tensor's name as if no layer were private, and the modality that the tensor is private to, or None."""


def take_weights(network: MultimodalNetwork, path_or_name: str) -> str:
    """Copy every tensor of a checkpoint that fits by name, modality and shape into a network.

    What is private to a modality that the checkpoint lacks starts as what is private to the checkpoint's first one.
    Where the classes differ, classifiers are not taken; where the modalities differ, the ensemble and fusion are not.

    Args:
        path_or_name: a checkpoint file, or the name of weights that come with the package.

    Returns:
        How much was taken, and what was left out, in one or two lines.

    Raises:
        ValueError: there is no such file, it is none of this project's checkpoints, or nothing of it fits.
    """
    try:
        source = checkpoint.load(path_or_name)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"model.initial_weights: {error}") from error
    stored, own, kept = source.state_dict(), network.state_dict(), _kept(network, source)
    named = {key: name for name, key in _keys(source).items()}
    taken = {}
    for name, key in _keys(network).items():
        found = next((named[each] for each in _wanted(key, network, source) if each in named), None)
        if found and name not in kept and stored[found].shape == own[name].shape:
            own[name].copy_(stored[found])
            taken[name] = found
    if not taken:
        raise ValueError(f"model.initial_weights: nothing of {path_or_name} fits this network")
    if (ratio := _scale(network) / _scale(source)) != 1.0:
        scale_values(network.encoder, ratio)
    lines = [f"initial weights: {len(taken)} of {len(own)} tensors are those of {path_or_name}"]
    left = {"new": own.keys() - taken.keys(), "not taken": stored.keys() - set(taken.values())}
    said = [f"{title}: {_parts(names)}" for title, names in left.items() if names]
    return "\n".join([*lines, *(["; ".join(said)] if said else [])])


def _scale(network: MultimodalNetwork) -> float:
    return network.config.exchange.scale if network.config.exchange else 1.0


def _keys(network: MultimodalNetwork) -> dict[str, Key]:
    """Return the key of every tensor, by the tensor's name."""
    private: dict[str, tuple[str, str]] = {}
    for name, module in network.named_modules():
        if isinstance(module, (PrivateNorm, PrivateConv)):
            layers = "norms" if isinstance(module, PrivateNorm) else "convs"
            for index, modality in enumerate(network.config.modalities):
                private[f"{name}.{layers}.{index}"] = name, modality
    keys: dict[str, Key] = {}
    for name in network.state_dict():
        layer, _, tensor = name.rpartition(".")
        plain, modality = private.get(layer, (layer, None))
        keys[name] = f"{plain}.{tensor}", modality
    return keys


def _wanted(key: Key, network: MultimodalNetwork, source: MultimodalNetwork) -> list[Key]:
    """Return the keys under which a checkpoint may have the tensor of a key, the best one first."""
    name, modality = key
    if modality is None and len(network.config.modalities) > 1:
        return [key]
    return [(name, each) for each in (modality or network.config.modalities[0], None, source.config.modalities[0])]


def _kept(network: MultimodalNetwork, source: MultimodalNetwork) -> set[str]:
    """Return the names of the tensors that mean other classes or modalities than the checkpoint's."""
    kept, config = set(), network.config
    if config.modalities != source.config.modalities:
        kept |= {name for name in network.state_dict() if name.startswith(("ensemble.", "fusion."))}
    if isinstance(config, SegmentationConfig) and config.classes != getattr(source.config, "classes", None):
        kept |= _of_classes(network, config)
    return kept


def _of_classes(network: MultimodalNetwork, config: SegmentationConfig) -> set[str]:
    """Return the names of the tensors whose shape the number of classes decides."""
    fewer = replace(config, classes=config.classes[:-1] or ("one", "more"), encoder_weights=None)
    with torch.device("meta"):
        others = build(fewer).state_dict()
    return {name for name, tensor in network.state_dict().items() if tensor.shape != others[name].shape}


def _parts(names: Iterable[str]) -> str:
    """Return the parts of a network that tensors belong to, with the number of tensors of each."""
    counts = Counter(".".join(name.split(".")[:2]) for name in names)
    return ", ".join(f"{part} ({count})" for part, count in sorted(counts.items()))
