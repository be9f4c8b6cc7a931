# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: one safetensors file that carries its own configuration; import of the published ones.

`python -m cen_model.checkpoint import` is the command `cen import`.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from cen_model.config import TranslationConfig, from_json
from cen_model.models import build
from cen_model.nn.network import MultimodalNetwork
from cen_model.published import segmentation_checkpoint, translation_checkpoint
from cen_model.utils.files import find_weights, write_bytes_atomically

CONFIG_KEY = "config"


def save(
    path: str | Path, model: MultimodalNetwork, metadata: Mapping[str, str] | None = None, half: bool = False
) -> None:
    """Write a checkpoint atomically: whole, or not at all.

    Args:
        path: the file to write, .safetensors by custom.
        model: its weights and configuration are written.
        metadata: text to keep beside them, such as measured accuracy.
        half: store convolutions in float16 (everything else stays float32); half the size.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if half:
        tensors = {name: tensor.half() if tensor.ndim == 4 else tensor for name, tensor in tensors.items()}
    metadata = {**(metadata or {}), CONFIG_KEY: json.dumps(model.config.to_dict())}
    # Not safetensors' save_file: it hides the file from every other user (mode 0600).
    write_bytes_atomically(Path(path), serialize(tensors, metadata))


def load(path_or_name: str | Path) -> MultimodalNetwork:
    """Read a network, in evaluation mode on the CPU.

    Args:
        path_or_name: a checkpoint file, or the name of weights that come with the package.

    Raises:
        FileNotFoundError: neither such a file nor such a name; lists the names.
        ValueError: the file is not one of our checkpoints, or is damaged.
    """
    path = find_weights(path_or_name)
    metadata = read_metadata(path)
    try:
        config = from_json(metadata[CONFIG_KEY])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(config, TranslationConfig):
        config = replace(config, encoder_weights=None)
    model = build(config)
    try:
        model.load_state_dict(_tensors(path))
    except RuntimeError as error:
        raise ValueError(f"{path}: the weights do not fit the configuration inside the file: {error}") from error
    return model.eval()


def read_metadata(path: str | Path) -> dict[str, str]:
    """The text kept in a checkpoint. Raises ValueError where the file is not one of ours."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error}); it may be truncated") from error
    if CONFIG_KEY not in metadata:
        raise ValueError(
            f"{path}: a safetensors file without a cen_model configuration; published checkpoints are imported by "
            "`cen import IN OUT`"
        )
    return metadata


def set_temperature(path: Path, temperature: float) -> None:
    """Write a temperature into a segmentation checkpoint, atomically; its tensors and other metadata stay.

    Raises:
        ValueError: the file is not one of our checkpoints.
    """
    metadata = read_metadata(path)
    config = replace(from_json(metadata[CONFIG_KEY]), temperature=temperature)
    write_bytes_atomically(path, serialize(_tensors(path), {**metadata, CONFIG_KEY: json.dumps(config.to_dict())}))


def _tensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - a handle, not a dict


def import_published(
    source: Path,
    destination: Path,
    classes: Sequence[str] = (),
    modalities: Sequence[str] = (),
    target: str = "rgb",
) -> None:
    """Turn a published checkpoint into one of ours.

    Args:
        source: the downloaded file: .pth.tar, with weights under "segmenter", or the .pkl of a translation generator.
        destination: the .safetensors file to write.
        classes: for segmentation: names of its classes; numbered where not given.
        modalities: for translation: names of its inputs, in the order of training.
        target: for translation: name of its output.

    Raises:
        ValueError: not a published checkpoint, or names that do not fit it.
    """
    try:
        stored = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        raise ValueError(f"{source}: not a PyTorch checkpoint of plain tensors: {error}") from error
    if not isinstance(stored, Mapping):
        raise ValueError(f"{source}: expected a published checkpoint, a dict, found a {type(stored).__name__}")
    weights = {name.removeprefix("module."): tensor for name, tensor in stored.get("segmenter", stored).items()}
    if translation_checkpoint.is_published_generator(weights):
        config, tensors = translation_checkpoint.from_published(weights, modalities, target)
    elif "segmenter" in stored:
        if modalities:
            raise ValueError(f"{source}: a segmentation checkpoint, of rgb and depth; --modalities is for translation")
        config, tensors = segmentation_checkpoint.from_published(weights, classes)
    else:
        raise ValueError(
            f'{source}: expected the weights of a segmentation network under the key "segmenter", or those of a '
            f"translation generator, found {list(stored)[:5]}"
        )
    model = build(config)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{source}: the weights do not fit the published network: {error}") from error
    save(destination, model, {"source": Path(source).name})


if __name__ == "__main__":
    import sys

    from cen_model.cli.cen import main

    sys.exit(main())
