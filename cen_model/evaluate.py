# SPDX-License-Identifier: Apache-2.0
"""Measure a checkpoint on held-out synthetic scenes: `python -m cen_model.evaluate WEIGHTS [--scenes 200]`."""

from __future__ import annotations

import sys

import torch
from jsonargparse import auto_cli
from rich.console import Console

from cen_model import checkpoint, report
from cen_model.loaders import cached_scenes, evaluation_loader
from cen_model.metrics import Scores
from cen_model.network import MultimodalNetwork
from cen_model.segmentation import evaluate
from cen_model.train_config import DataConfig


def measure(model: MultimodalNetwork, seeds: range, data: DataConfig) -> dict[str, Scores]:
    """Scores of every output on the scenes of `seeds`, in full precision, on the GPU where there is one."""
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    batches = evaluation_loader(cached_scenes(seeds, data.size), data.evaluation_batch)
    return evaluate(model, model.config.modalities, len(model.config.classes), batches)


def main(weights: str, scenes: int = 200, seed: int = DataConfig.held_out_seed) -> None:
    """Print the scores of every output.

    Args:
        weights: a checkpoint file or the name of shipped weights.
        scenes: how many held-out scenes to label.
        seed: the first scene's.
    """
    model = checkpoint.load(weights)
    if model.config.task != "segmentation":
        raise ValueError(f"{weights}: expected a segmentation network, got one for {model.config.task}")
    scores = measure(model, range(seed, seed + scenes), DataConfig())
    title = f"{weights}: {scenes} held-out scenes, exchanged {model.exchanged_share():.0%}"
    Console().print(report.table(scores, model.config.classes, title))
    Console().print(report.branches(scores))


if __name__ == "__main__":
    try:
        auto_cli(main)
    except (ValueError, OSError) as error:
        sys.exit(f"evaluate: {error}")
