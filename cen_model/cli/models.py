# SPDX-License-Identifier: Apache-2.0
"""`cen models`: a registry of networks as a table of what they cost."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import yaml
from torch import nn

from cen_model.cli.arguments import as_parsed, height_width
from cen_model.config import NetworkConfig, TranslationConfig
from cen_model.modalities import modality
from cen_model.models import build
from cen_model.nn.complexity import Cost, measure_cost
from cen_model.nn.encoders import imagenet_weights_come_as
from cen_model.registry import REGISTRY
from cen_model.utils.validation import look_up

if TYPE_CHECKING:
    from rich.table import Table

Build = Callable[[NetworkConfig], nn.Module]

EXAMPLE = "example: cen models cen-light18 --show > light.yaml"
TEXTS = ("name", "input", "ImageNet weights")
HEADER = (*TEXTS, "parameters (M)", "used for fusion (M)", "GFLOP", "peak activation memory (MB)")
# The U-Net halves its input eight times, down to one pixel.
TRANSLATION_SIZE = (256, 256)
HOW_TRAINED = ("encoder_weights", "dropout", "input_height")
"""Keys of a configuration that shape no layer of the network."""


@dataclass(frozen=True)
class Row:
    """One network.

    Attributes:
        name: in the registry.
        size: height and width of every input, in pixels.
        weights: how ImageNet weights of its encoder come: with a "package", without any server, by "download" or not
            at all ("–").
        cost: for one input of each modality, in float32.
    """

    name: str
    size: tuple[int, int]
    weights: str
    cost: Cost

    def cells(self) -> tuple[str, ...]:
        """Texts under `HEADER`; M, G and MB are powers of ten."""
        cost = self.cost
        height, width = self.size
        return (
            self.name,
            f"{height}×{width}",
            self.weights,
            f"{cost.parameters / 1e6:.2f}",
            f"{cost.fusion_parameters / 1e6:.2f}",
            f"{cost.flops / 1e9:.1f}",
            f"{cost.peak_activation_bytes / 1e6:.1f}",
        )


def rows(registry: Mapping[str, NetworkConfig], build: Build, names: Iterable[str], size: tuple[int, int]) -> list[Row]:
    """Measure networks without computing them.

    Args:
        registry: configurations by name.
        build: makes a network of a configuration.
        names: of the networks to measure.
        size: height and width of the segmented images in pixels; translation is measured at 256×256.

    Raises:
        ValueError: a name is not in the registry.
    """
    configs = {name: look_up("network", name, registry) for name in names}
    return [_row(name, config, build, size) for name, config in configs.items()]


def _row(name: str, config: NetworkConfig, build: Build, size: tuple[int, int]) -> Row:
    translates = isinstance(config, TranslationConfig)
    size, weights = (TRANSLATION_SIZE, "–") if translates else (size, imagenet_weights_come_as(config.encoder))
    # Not FakeTensorMode: modules cannot be copied under it, which making an encoder modal takes.
    with torch.device("meta"):
        model = build(config)
        inputs = {each: torch.empty(1, modality(each).channels, *size) for each in config.modalities}
        return Row(name, size, weights, measure_cost(model, inputs, model.fusion_modules()))


def markdown(rows: Iterable[Row]) -> str:
    """The table in Markdown, numbers to the right."""
    lines = [HEADER, [*["---"] * len(TEXTS), *["---:"] * (len(HEADER) - len(TEXTS))], *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def table(rows: Iterable[Row]) -> Table:
    """The table for a terminal."""
    from rich.table import Table  # for terminals alone

    result = Table()
    for title in HEADER:
        # Narrow terminals may break titles, never names or numbers.
        text = title in TEXTS
        result.add_column(title, justify="left" if text else "right", no_wrap=text, overflow="fold")
    for row in rows:
        result.add_row(*row.cells())
    return result


def as_yaml(config: NetworkConfig) -> str:
    """A configuration as YAML, the `model:` part of a training's, which may go behind another configuration.

    What the network is made of is all spelled out, or the other's would stay. How it is trained (`HOW_TRAINED`) is left
    to the other where the network has no wish of its own, and the classes are left to the data.
    """
    values, defaults = config.to_dict(), type(config)().to_dict()
    open_ = {"task", "classes", *(key for key in HOW_TRAINED if key in values and values[key] == defaults[key])}
    shown = {key: value for key, value in values.items() if key not in open_}
    return yaml.safe_dump({"model": shown}, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def main(arguments: Sequence[str], registry: Mapping[str, NetworkConfig] = REGISTRY, build: Build = build) -> None:
    """Print what the networks of the registry cost, or the configuration of one.

    Raises:
        ValueError: a name is not in the registry.
    """
    parser = argparse.ArgumentParser(prog="cen models", description=main.__doc__.splitlines()[0], epilog=EXAMPLE)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a network; all where none is given")
    parser.add_argument(
        "--size", type=height_width, default=(480, 640), metavar="HxW", help="of segmented images (480x640)"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    parser.add_argument("--show", action="store_true", help="print the one network's configuration as YAML instead")
    args = parser.parse_args(as_parsed(arguments, parser))
    if args.show and len(args.names) != 1:
        parser.error(f"--show takes one name, got {len(args.names)}")
    if args.show:
        print(as_yaml(look_up("network", args.names[0], registry)), end="")
        return
    measured = rows(registry, build, args.names or registry, args.size)
    if args.markdown:
        print(markdown(measured))
        return
    from rich.console import Console  # for terminals alone

    Console().print(table(measured))
