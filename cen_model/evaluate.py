# SPDX-License-Identifier: Apache-2.0
"""Measure a network on a dataset: `python -m cen_model.evaluate WEIGHTS [--dataset nyudv2 --root FOLDER]`."""

from __future__ import annotations

import sys

import torch
from rich.console import Console

from cen_model import checkpoint, report
from cen_model.data.datasets import open_dataset
from cen_model.evaluation.measure import measure
from cen_model.evaluation.options import Options, parse
from cen_model.processes import Ranks, joined

__all__ = ["measure"]


def run(options: Options, ranks: Ranks, console: Console) -> None:
    """Print the scores of every output."""
    model = checkpoint.load(options.weights)
    model.to(ranks.device() or ("cuda" if torch.cuda.is_available() else "cpu"))
    dataset = open_dataset(options.data, options.split, model.config.modalities)
    scores = measure(model, dataset, options.data, options.inference, options.drop)
    if ranks.rank == 0:
        title = f"{options.weights}: {len(dataset)} frames, exchanged {model.exchanged_share():.0%}"
        console.print(report.table(scores, model.config.classes, title))
        console.print(report.branches(scores))


def main(argv: list[str] | None = None) -> None:
    options = parse(sys.argv[1:] if argv is None else argv)
    try:
        with joined() as ranks:
            run(options, ranks, Console(highlight=False))
    except (ValueError, OSError) as error:
        sys.exit(f"evaluate: {error}")


if __name__ == "__main__":
    main()
