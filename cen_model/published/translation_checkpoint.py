# SPDX-License-Identifier: Apache-2.0
"""The names and shapes of the paper's published translation generators, in our terms."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from cen_model.config import ExchangeConfig, TranslationConfig

_FIRST = "conv1.conv.module.weight"
_LAST = "deconv8.deconv.module.weight"


def is_published_generator(weights: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has the first and last convolution and the α of a published generator."""
    return {_FIRST, _LAST, "alpha"} <= set(weights)


def from_published(
    weights: Mapping[str, Tensor], modalities: Sequence[str], target: str
) -> tuple[TranslationConfig, dict[str, Tensor]]:
    """Read the state dict of a published generator.

    Args:
        weights: tensors by their published names, without a leading "module.".
        modalities: names of the inputs, in the order of training; the checkpoint does not know them.
        target: name of the output.

    Returns:
        The configuration read off the shapes, with the published code's settings, and the tensors under our names.

    Raises:
        ValueError: another number of modalities.
    """
    count = len(weights["alpha"])
    if len(modalities) != count:
        raise ValueError(
            f"the checkpoint has {count} modalities, {len(modalities)} were named ({', '.join(modalities) or 'none'}): "
            "give --modalities in the order of training"
        )
    config = TranslationConfig(
        modalities=tuple(modalities),
        target=target,
        in_channels=weights[_FIRST].shape[1],
        out_channels=weights[_LAST].shape[1],
        filters=weights[_FIRST].shape[0],
        exchange=ExchangeConfig(threshold=1e-2, scope="all") if count > 1 else None,
        normalized="inner",
        decoder_norms="private",
    )
    # The last block's norms exist in the checkpoint, but the published code does not use them.
    names = (name for name in weights if not name.startswith("deconv8.insnorm"))
    return config, {our_name(name, count): weights[name] for name in names}


def our_name(name: str, modalities: int = 2) -> str:
    """Our name of a published generator's tensor. Raises ValueError for one that does not occur there."""
    if name == "alpha":
        return "ensemble.alpha"
    match = re.fullmatch(r"(conv|deconv)([1-8])\.(?:(de)?conv\.module|insnorm_(?:de)?conv\.insnorm_(\d+))\.(\w+)", name)
    if not match:
        raise ValueError(f"{name!r} is not a tensor of the published translation networks")
    side, level, _, norm, kind = match.groups()
    block = f"{'encoder.stages' if side == 'conv' else 'decoder.blocks'}.{int(level) - 1}"
    if norm is None:
        return f"{block}.conv.{kind}"
    return f"{block}.norm.norms.{norm}.{kind}" if modalities > 1 else f"{block}.norm.{kind}"
