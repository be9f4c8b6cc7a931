# SPDX-License-Identifier: Apache-2.0
"""What is measured once a run has reached its end."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from cen_model import checkpoint
from cen_model.data.dataset import Dataset
from cen_model.evaluation import score_tables
from cen_model.evaluation.metrics import Measured
from cen_model.evaluation.results import RESULTS, of_scores
from cen_model.training.run_config import plain
from cen_model.training.run_folder import BEST, Run, exchanged_by_layer
from cen_model.utils import provenance
from cen_model.utils.files import write_json_atomically


def finish(run: Run, dataset: Dataset) -> Measured:
    """Measure the last weights for results.json, and the best ones for their own metadata.

    To be called in every process: each measures its share, the first one writes.

    Args:
        dataset: the test frames.

    Returns:
        Scores of the best.
    """
    last = run.scores(run.measured(), dataset)
    path = run.folder / BEST
    model = checkpoint.load(path).to(run.fabric.device)
    metadata = checkpoint.read_metadata(path)
    is_last = run.progress.best_step == run.progress.step and not run.config.half_weights
    scores = last if is_last else run.task.measure(model, dataset)
    text = {
        **score_tables.metadata(scores, _classes(dataset), f"{run.config.data.dataset}: {len(dataset)} test frames"),
        "exchanged_share": f"{model.exchanged_share():.4f}",
        "epoch": metadata.get("epoch", ""),
        "training": json.dumps(asdict(run.config), default=str),
    }
    results = _results(run, dataset, last)
    if run.fabric.is_global_zero:
        checkpoint.save(path, model, text, half=run.config.half_weights)
        write_json_atomically(run.folder / RESULTS, results)  # the last of all: with it, nothing is left to do
    return scores


def _results(run: Run, dataset: Dataset, scores: Measured) -> dict[str, Any]:
    network = run.measured()
    return {
        "scores": {name: of_scores(each, _classes(dataset)) for name, each in scores.items()},
        "exchanged": network.exchanged_share() if network.config.exchange else None,
        "exchanged_by_layer": exchanged_by_layer(network),
        "frames": len(dataset),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "steps": run.progress.step,
        "seconds": round(run.progress.seconds, 1),
        "seed": run.config.seed,
        "device": provenance.device_name(run.fabric.device),
        "commit": provenance.commit(),
        "config": plain(asdict(run.config)),
    }


def _classes(dataset: Dataset) -> tuple[str, ...]:
    return dataset.labels.names if dataset.labels else ()
