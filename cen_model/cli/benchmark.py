# SPDX-License-Identifier: Apache-2.0
"""`cen benchmark inference|train|scenes`: measure this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jsonargparse import auto_cli, capture_parser

from cen_model.benchmark.inference_speed import NONE, measure_inference
from cen_model.benchmark.speed_tables import markdown, training_markdown
from cen_model.benchmark.training_speed import measure_training
from cen_model.benchmark.training_step import TrainingEntry
from cen_model.classes import NYU40
from cen_model.cli.arguments import as_parsed
from cen_model.config import SegmentationConfig
from cen_model.data.catalog import open_dataset
from cen_model.data.data_config import DataConfig, SyntheticConfig
from cen_model.deploy.backends.selection import BACKENDS
from cen_model.scenes.renderer import render_scene
from cen_model.utils.devices import default_device
from cen_model.utils.files import write_text_atomically
from cen_model.utils.provenance import command

EXAMPLE = "example: cen benchmark inference --networks cen-light18 --backends none,inductor --size 480x640"

DEFAULT_NETWORKS = ["cen", "cen-light18", "synthetic13-cen"]


def inference(
    networks: list[str] = DEFAULT_NETWORKS,
    backends: list[str] = [NONE, *BACKENDS],  # noqa: B006 - jsonargparse shows it; nothing changes it
    size: tuple[int, int] = (480, 640),
    device: str | None = None,
    rounds: int = 5,
    output: Path | None = None,
) -> None:
    """Time networks and backends against the way the paper's code runs them.

    Args:
        networks: names of the registry (with a third of the channels in scope exchanged), of shipped weights, or files.
        backends: what runs them, besides "none", the network as it was trained.
        size: height and width of the images.
        device: cpu, cuda, …; without it a GPU where there is one.
        rounds: how often every contestant has its turn.
        output: files to write, without their endings .json and .md.
    """
    results = measure_inference(networks, size, device or default_device(), backends, rounds)
    _publish(results.to_json(), markdown(results, command("cen")), output)


def train(
    network: SegmentationConfig = SegmentationConfig(encoder="resnet50", classes=NYU40),  # noqa: B008 - frozen
    batch: int = 2,
    size: tuple[int, int] = (240, 320),
    frozen_statistics: bool = False,
    data: DataConfig = DataConfig(synthetic=SyntheticConfig(train_scenes=26), scale=(0.5, 2.0)),  # noqa: B008 - frozen
    workers: list[int] = [0, 2],  # noqa: B006 - jsonargparse shows it; nothing changes it
    compiled: bool = False,
    device: str | None = None,
    rounds: int = 3,
    output: Path | None = None,
) -> None:
    """Time training steps against the way the paper's code takes them, and the loader that feeds them.

    Args:
        network: of two modalities, with RefineNet.
        batch: samples a step.
        size: height and width of the images.
        frozen_statistics: BatchNorm with running statistics instead of the batch's.
        data: what the loader reads and how it augments; its crop is `size`.
        workers: processes of the loader, each number measured on its own.
        compiled: torch.compile takes part, too.
        device: cpu, cuda, …; without it a GPU where there is one.
        rounds: how often every contestant has its turn.
        output: files to write, without their endings .json and .md.
    """
    setting = TrainingEntry(network, "ours", batch=batch, size=size, frozen=frozen_statistics)
    setting = replace(setting, device=device or default_device())
    read = replace(data, crop=size, on_device=False)
    loaders = [*(replace(read, workers=count) for count in workers), replace(read, on_device=True)]
    dataset = open_dataset(data, "train", network.modalities)
    results = measure_training(setting, rounds, compiled, dataset, loaders)
    _publish(results.to_json(), training_markdown(results, command("cen")), output)


def scenes(count: int = 60, size: tuple[int, int] = (240, 320)) -> None:
    """Time the rendering of synthetic scenes, one after the other.

    Args:
        count: how many.
        size: height and width of the images.
    """
    render_scene(0, size)  # textures and meshes are made once per process
    start = time.perf_counter()
    for seed in range(count):
        render_scene(seed, size)
    print(f"{count / (time.perf_counter() - start):.1f} scenes/s")


COMMANDS = {"inference": inference, "train": train, "scenes": scenes}


def _publish(json_text: str, text: str, output: Path | None) -> None:
    print(text)
    if output:
        for ending, content in ((".json", json_text), (".md", text)):
            path = output.with_name(output.name + ending)
            write_text_atomically(path, content)


def main(arguments: Sequence[str]) -> None:
    texts = {"prog": "cen benchmark", "epilog": EXAMPLE}
    parser = capture_parser(auto_cli, COMMANDS, **texts)
    auto_cli(COMMANDS, args=as_parsed(arguments, parser), **texts)
