# SPDX-License-Identifier: Apache-2.0
"""A network's layers as a chain, read off one run of it, and cut into stages.

Axes: B batch, C channels, H W pixels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

_SIZE = (64, 96)
"""Height and width in pixels of the image that the layers are watched with; other ones for what works on squares."""


@dataclass(frozen=True)
class _Call:
    """What a layer was given and what it gave when the network ran."""

    name: str
    layer: nn.Module
    inputs: tuple[Any, ...]
    output: Any

    def continues(self, x: Tensor) -> bool:
        """Whether the layer takes x, nothing else, and gives one tensor."""
        return len(self.inputs) == 1 and self.inputs[0] is x and isinstance(self.output, Tensor)


def stages_of(network: nn.Module, cuts: Mapping[str, int], name: str) -> tuple[list[nn.Sequential], list[int]]:
    """Cut a network into stages, each of which maps the features of the one before, the first the image.

    Args:
        network: takes images of three channels; untouched, and in training mode afterwards.
        cuts: the names of the stages' last layers, in their order, with their strides: pixels of the image per pixel of
            the features.
        name: of the network, for errors.

    Returns:
        The stages, and the channels of their features.

    Raises:
        ValueError: the layers are no chain down to the last cut, features have other strides, or the network takes
            only images of one size.
    """
    image, calls = _watch(network, cuts, name)
    stages: list[nn.Sequential] = []
    channels: list[int] = []
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    x, waiting = image, dict(cuts)
    for call in calls:
        key = call.name.replace(".", "_")
        if not call.continues(x) or key in layers:
            raise ValueError(
                f"encoder {name!r} is no chain of layers: {call.name} does not run once, on what the one before gives"
            )
        x, layers[key] = call.output, call.layer
        if call.name == next(iter(waiting)):
            _check_size(x, waiting.pop(call.name), name)
            stages.append(nn.Sequential(layers))
            channels.append(x.shape[1])
            layers = OrderedDict()
        if not waiting:
            return stages, channels
    raise ValueError(f"encoder {name!r} is no chain of layers: {next(iter(waiting))} does not run, or not in its turn")


def _check_size(x_BCHW: Tensor, stride: int, name: str) -> None:
    expected, found = tuple(side // stride for side in _SIZE), tuple(x_BCHW.shape[-2:])
    if found != expected:
        raise ValueError(
            f"encoder {name!r} has no features at stride {stride}: of an image of {_SIZE[0]}×{_SIZE[1]} they are "
            f"{' × '.join(map(str, found))}, not {' × '.join(map(str, expected))}"
        )


@torch.no_grad()
def _watch(network: nn.Module, cuts: Iterable[str], name: str) -> tuple[Tensor, list[_Call]]:
    """Run the network on an image; return it, and the calls of all layers that no cut lies within, in their order."""
    calls: list[_Call] = []

    def note(name: str, layer: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any], output: Any) -> None:
        calls.append(_Call(name, layer, (*inputs, *options.values()), output))

    hooks = [layer.register_forward_hook(partial(note, at), with_kwargs=True) for at, layer in _layers(network, cuts)]
    image = torch.zeros(1, 3, *_SIZE)
    try:
        network.eval()(image)
    except Exception as error:  # a network for images of one size may fail in any way
        words = str(error) or type(error).__name__
        raise ValueError(f"encoder {name!r} does not take an image of {_SIZE[0]}×{_SIZE[1]}: {words}") from error
    finally:
        network.train()
        for hook in hooks:
            hook.remove()
    return image, calls


def _layers(module: nn.Module, cuts: Iterable[str], prefix: str = "") -> list[tuple[str, nn.Module]]:
    """Names and modules below a module; one that a cut lies within gives way to its contents."""
    layers = []
    for label, child in module.named_children():
        name = f"{prefix}{label}"
        opened = any(cut.startswith(f"{name}.") for cut in cuts)
        layers += _layers(child, cuts, f"{name}.") if opened else [(name, child)]
    return layers
