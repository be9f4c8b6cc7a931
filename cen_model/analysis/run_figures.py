# SPDX-License-Identifier: Apache-2.0
"""The paper's figures of trained runs, drawn into one folder.

Of the first run: γ against the step (Fig. 5), averaged feature maps (Fig. 3), Theorem 1's probabilities (Fig. 4). Of
all of them: the modalities' proportions of γ (Figs. 11 and 12), the share of exchanged channels in each layer, and,
where finished runs differ in λ or θ alone, the sensitivity to it (Fig. 13).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from torch import Tensor

from cen_model.analysis import feature_maps, figures, theorem
from cen_model.analysis.explanation import explanation
from cen_model.analysis.history import History, read
from cen_model.data.catalog import open_dataset
from cen_model.data.loaders import evaluation_loader, training_loader
from cen_model.evaluation.frame_subset import Chosen
from cen_model.evaluation.results import RESULTS
from cen_model.training.config_changes import changes
from cen_model.training.run_config import TrainConfig, parse
from cen_model.utils.files import write_atomically, write_text_atomically


def analyze(runs: Sequence[Path], output: Path, root: Path | None, layer: str | None, frame: int, batches: int) -> None:
    """Draw the figures of trained runs into the folder `output`.

    Args:
        root: the data, where it is elsewhere now.
        layer: the exchanging norm that is shown alone; None takes the 8th, as in the paper.
        frame: of the test frames, the one whose feature maps are shown.
        batches: training batches that Theorem 1's gradients are averaged over.

    Raises:
        FileNotFoundError: a folder is no run, or a run without exchange.
        ValueError: there is no such layer.
    """
    histories = [read(run) for run in runs]
    first = histories[0]
    names = list(first.gamma)
    shown = layer or names[min(7, len(names) - 1)]
    for history in histories:
        if shown not in history.gamma:
            raise ValueError(f"layer: {shown} is no exchanging norm of {history.name}; there are {', '.join(names)}")
    _save(figures.gamma_against_step(first, shown), output / "gamma.png")
    _save(figures.proportions(histories, shown), output / "proportions.png")
    _save(figures.proportions_of_layers(histories), output / "proportions_of_layers.png")
    _save(figures.exchanged(histories), output / "exchanged.png")
    config = parse(["--config", str(runs[0] / "config.yaml")])
    if config.task == "segmentation":
        _segmentation_figures(first, config, shown, output, root, frame, batches)
    results = [_result(run) for run in runs if (run / RESULTS).is_file()]
    for by in ("penalty", "threshold"):
        swept = _differing_in(by, results)
        if swept:
            _save(figures.sensitivity(swept, by), output / f"sensitivity_{by}.png")
    text = explanation(histories)
    write_text_atomically(output / "exchange.md", text)
    Console().print(text, markup=False, soft_wrap=True)


def _segmentation_figures(
    history: History, config: TrainConfig, layer: str, output: Path, root: Path | None, frame: int, batches: int
) -> None:
    data = replace(config.data, root=root or config.data.root, on_device=False)
    modalities = history.network.config.modalities
    train, test = (open_dataset(data, split, modalities) for split in ("train", "test"))
    loader = training_loader(train, data, modalities, config.optimizer.batch, config.seed, range(batches))
    probability = theorem.attraction(history.network, loader, config.exchange.penalty)
    _save(figures.attraction(probability, history), output / "theorem.png")
    if len(modalities) == 2:
        if not 0 <= frame < len(test):
            raise ValueError(f"frame: there are {len(test)} test frames, counted from 0; got {frame}")
        batch = next(iter(evaluation_loader(Chosen(test, [frame]), data, modalities, 1)))
        maps = feature_maps.averaged_maps(history.network, batch, layer)
        _save(feature_maps.figure(_image(batch[modalities[0]][0]), maps, modalities), output / "features.png")


def _image(raw_CHW: Tensor) -> np.ndarray:
    """For matplotlib: (H, W, 3) uint8, or (H, W) as it is."""
    return raw_CHW[0].numpy() if len(raw_CHW) == 1 else raw_CHW.permute(1, 2, 0).clamp(0, 255).byte().numpy()


def _result(run: Path) -> dict[str, Any]:
    results = json.loads((run / RESULTS).read_text(encoding="utf-8"))
    config, scores = results["config"], results["scores"]["ensemble"]
    return {
        "penalty": config["exchange"]["penalty"],
        "threshold": config["model"]["exchange"]["threshold"],
        "exchanged": results["exchanged"],
        "config": config,
        **{key: scores[key] for key in ("mean_iou", "mae") if scores.get(key) is not None},
    }


def _differing_in(by: str, results: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """The results, if it is λ or θ alone, whichever `by` names, and the seed, that they differ in; else none."""
    place = {"penalty": "exchange.penalty", "threshold": "model.exchange.threshold"}[by]
    changed = {key for each in results for key in changes(results[0]["config"], each["config"])}
    return results if place in changed and changed <= {place, "seed"} else ()


def _save(figure: Figure, path: Path) -> None:
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=130))
