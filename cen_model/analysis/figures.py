# SPDX-License-Identifier: Apache-2.0
"""Figures of scaling factors (paper, appendix: Figs. 4, 5, 11, 12 and 13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cen_model.analysis.history import History

CHANNELS = 64
"""Lines in a plot of γ against the step, at most; more cannot be told apart."""


def gamma_against_step(history: History, layer: str) -> Figure:
    """Fig. 5: γ of each channel of a layer over the training, a panel for each modality; penalized ones in color."""
    gamma, penalized = history.gamma[layer], history.penalized[layer]
    figure = Figure((4.2 * gamma.shape[1], 3.2), layout="constrained")
    axes = figure.subplots(1, gamma.shape[1], sharey=True, squeeze=False)[0]
    for m, (axis, name) in enumerate(zip(axes, history.network.config.modalities, strict=True)):
        for chosen, color in ((~penalized[m], "0.75"), (penalized[m], "tab:red")):
            channels = np.flatnonzero(chosen)[:: max(1, chosen.sum() // CHANNELS)]
            axis.plot(history.steps, gamma[:, m, channels], color=color, linewidth=0.6)
        axis.axhspan(-history.threshold, history.threshold, color="tab:blue", alpha=0.15)
        axis.set(title=name, xlabel="step", ylabel="γ" if m == 0 else None)
    figure.suptitle(f"{history.name}: {layer}; red: penalized, blue: below θ", fontsize=9)
    return figure


def proportions(histories: Sequence[History], layer: str) -> Figure:
    """Fig. 11: each modality's part of Σ_m |γ_m| at the end, by channel of a layer, runs below each other."""
    figure = Figure((7, 1 + 1.7 * len(histories)), layout="constrained")
    axes = figure.subplots(len(histories), 1, squeeze=False)[:, 0]
    for axis, history in zip(axes, histories, strict=True):
        _stack(axis, history, layer)
        axis.set(title=_name(history), ylabel="part of Σ|γ|")
    axes[-1].set_xlabel(f"channel of {layer}")
    axes[0].legend(histories[0].network.config.modalities, fontsize=7, loc="upper right")
    return figure


def proportions_of_layers(histories: Sequence[History]) -> Figure:
    """Fig. 12: as Fig. 11, of every layer: a row for each, a column for each run."""
    rows = max(len(history.gamma) for history in histories)
    figure = Figure((1 + 3.4 * len(histories), 0.6 + 0.55 * rows), layout="constrained")
    axes = figure.subplots(rows, len(histories), squeeze=False)
    for column, history in zip(axes.T, histories, strict=True):
        for axis, layer in zip(column, history.gamma, strict=False):
            _stack(axis, history, layer)
            axis.set_ylabel(_short(layer), rotation=0, ha="right", va="center", fontsize=6)
            axis.set(xticks=[], yticks=[])
        for axis in column[len(history.gamma) :]:
            axis.set_axis_off()
        column[0].set_title(_name(history), fontsize=8)
    axes[0, 0].legend(histories[0].network.config.modalities, fontsize=6, loc="upper right")
    return figure


def _stack(axis: Axes, history: History, layer: str) -> None:
    gamma = np.abs(history.gamma[layer][-1])
    parts = gamma / np.maximum(gamma.sum(0), np.finfo(np.float32).tiny)
    edges = np.arange(gamma.shape[1] + 1)
    lower = np.zeros(gamma.shape[1])
    for part in parts:
        axis.stairs(lower + part, edges, baseline=lower, fill=True)
        lower = lower + part
    axis.set(xlim=(0, gamma.shape[1]), ylim=(0, 1))


def _name(history: History) -> str:
    penalized = {"none": "no γ", "all": "every γ", "own": "each modality's own part"}
    return f"{history.name}; penalized: {penalized[history.network.config.exchange.penalized]}"


def exchanged(histories: Sequence[History]) -> Figure:
    """The share of every layer's penalized γ that ended below θ, runs below each other."""
    figure = Figure((max(6, 0.35 * len(histories[0].gamma) + 2), 1.2 + 2.0 * len(histories)), layout="constrained")
    axes = figure.subplots(len(histories), 1, squeeze=False)[:, 0]
    for axis, history in zip(axes, histories, strict=True):
        shares, names = share_below(history), history.network.config.modalities
        width = 0.8 / len(names)
        for m, name in enumerate(names):
            axis.bar(np.arange(len(shares)) + m * width, [100 * each[m] for each in shares.values()], width, label=name)
        axis.set(ylim=(0, 100), ylabel="|γ| < θ (%)", title=_name(history))
        axis.set_xticks(np.arange(len(shares)) + 0.3, [_short(name) for name in shares], rotation=70, fontsize=6)
    axes[0].legend(fontsize=7)
    return figure


def share_below(history: History) -> dict[str, np.ndarray]:
    """The share (M,) of the penalized γ of each layer that ended below θ; of all γ where none is penalized."""
    shares = {}
    for name, gamma in history.gamma.items():
        penalized = history.penalized[name]
        region = penalized if penalized.any() else np.ones_like(penalized)
        below = (np.abs(gamma[-1]) < history.threshold) & region
        shares[name] = below.sum(1) / np.maximum(region.sum(1), 1)
    return shares


def recoveries(history: History) -> tuple[int, int]:
    """Of the penalized γ that were below θ at any earlier note: how many are at the end, and how many there were."""
    stayed = fell = 0
    for name, gamma in history.gamma.items():
        below = (np.abs(gamma) < history.threshold) & history.penalized[name]
        earlier = below[:-1].any(0)
        fell += int(earlier.sum())
        stayed += int((earlier & below[-1]).sum())
    return stayed, fell


def attraction(probability: Mapping[str, np.ndarray], history: History) -> Figure:
    """Theorem 1 (Fig. 4) and what came of it: the share of γ̂ near 0, and their number, in ten bins of probability.

    Args:
        probability: (M, C) of every layer.
    """
    predicted = np.concatenate([probability[name][history.penalized[name]] for name in history.gamma])
    near = np.concatenate(
        [np.abs(gamma[-1])[history.penalized[name]] < history.threshold for name, gamma in history.gamma.items()]
    )
    bins = np.minimum((predicted * 10).astype(int), 9)
    figure = Figure((5, 3.4), layout="constrained")
    axis = figure.subplots()
    shares = [100 * near[bins == b].mean() if (bins == b).any() else 0 for b in range(10)]
    axis.bar(np.arange(10) / 10 + 0.05, shares, 0.09, color="tab:red")
    for b in range(10):
        axis.annotate(f"{(bins == b).sum()}", (b / 10 + 0.05, shares[b]), ha="center", va="bottom", fontsize=7)
    axis.set(
        xlabel="probability of Theorem 1",
        ylabel="|γ| < θ at the end (%)",
        ylim=(0, 110),
        title=history.name,
        xlim=(0, 1),
    )
    return figure


def sensitivity(results: Sequence[Mapping[str, float]], by: str) -> Figure:
    """Fig. 13: the ensemble's score, and the share of exchanged channels, against λ or θ: mean ± deviation of runs.

    Args:
        results: of each run, the value of `by` ("penalty" or "threshold"), "mean_iou" in [0, 1] or "mae", "exchanged".
    """
    key, factor, label = ("mean_iou", 100, "mean IoU (%)") if "mean_iou" in results[0] else ("mae", 1, "MAE")
    values = sorted({each[by] for each in results})
    figure = Figure((4.6, 3.2), layout="constrained")
    axis = figure.subplots()
    other = axis.twinx()
    for each, name, scale, style, color in (
        (axis, key, factor, "o-", "tab:red"),
        (other, "exchanged", 100, "s--", "0.5"),
    ):
        groups = [[scale * run[name] for run in results if run[by] == value] for value in values]
        deviations = [np.std(group, ddof=min(1, len(group) - 1)) for group in groups]  # as in an experiment's table
        each.errorbar(values, list(map(np.mean, groups)), deviations, fmt=style, color=color, capsize=3)
    axis.set(xlabel={"penalty": "λ", "threshold": "θ"}[by], xscale="symlog" if 0 in values else "log")
    axis.set_xticks(values, [f"{value:g}" for value in values])
    axis.set_xticks([], minor=True)
    axis.set_ylabel(label, color="tab:red")
    other.set_ylabel("exchanged (%)", color="0.4")
    return figure


def _short(layer: str) -> str:
    return layer.removeprefix("encoder.").replace("stages.", "").replace("layer", "l")
