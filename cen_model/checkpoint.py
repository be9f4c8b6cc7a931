# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: one safetensors file that carries its own configuration; import of the published ones.

`python -m cen_model.checkpoint import IN.pth.tar OUT.safetensors`
"""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise

from cen_model.config import SegmentationConfig
from cen_model.files import find_weights, write_atomically
from cen_model.models import MultimodalNetwork, build
from cen_model.published import from_published

CONFIG_KEY = "config"


def save(
    path: str | Path, model: MultimodalNetwork, metadata: Mapping[str, str] | None = None, half: bool = False
) -> None:
    """Write a checkpoint atomically: whole, or not at all.

    Args:
        path: the file to write, .safetensors by custom.
        model: its weights and configuration are written.
        metadata: text to keep beside them, such as measured accuracy.
        half: store convolutions in float16 (norms and biases stay float32); half the size.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if half:
        tensors = {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in tensors.items()}
    metadata = {**(metadata or {}), CONFIG_KEY: json.dumps(model.config.to_dict())}
    # Not safetensors' save_file: it hides the file from every other user (mode 0600).
    write_atomically(Path(path), lambda temporary: temporary.write_bytes(serialise(tensors, metadata)))


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
    config = SegmentationConfig.from_dict({**json.loads(metadata[CONFIG_KEY]), "encoder_weights": None})
    model = build(config)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - a handle, not a dict
    try:
        model.load_state_dict(tensors)
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
            "`python -m cen_model.checkpoint import IN OUT`"
        )
    return metadata


def import_published(source: Path, target: Path, classes: list[str] | None = None) -> None:
    """Turn a published checkpoint (.pth.tar) into one of ours.

    Args:
        source: the downloaded file; its weights stand under "segmenter".
        target: the .safetensors file to write.
        classes: names of its classes; numbered where not given.
    """
    try:
        stored = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise ValueError(f"{source}: not a PyTorch checkpoint of plain tensors: {error}") from error
    if "segmenter" not in stored:
        raise ValueError(f'{source}: expected the weights under the key "segmenter", found {list(stored)[:5]}')
    config, tensors = from_published(stored["segmenter"], classes)
    model = build(config)
    model.load_state_dict(tensors)
    save(target, model, {"source": Path(source).name})


if __name__ == "__main__":
    from jsonargparse import auto_cli  # for the command line alone: a robot that loads checkpoints does not need it

    try:
        auto_cli({"import": import_published})
    except (ValueError, OSError) as error:
        sys.exit(f"import: {error}")
