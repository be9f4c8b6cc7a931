# SPDX-License-Identifier: Apache-2.0
"""Figures of scaling factors (paper, appendix: Figs. 4, 5, 11, 12 and 13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from cen_model.analysis.history import History

CHANNELS = 64
"""Lines in a plot of γ against the step, at most; more cannot be told apart."""


def gamma_against_step(history: History, layer: str) -> Figure:
    """Fig. 5: γ of each channel of a layer over the training, a panel for each modality; penalised ones in colour."""
    gamma, penalised = history.gamma[layer], history.penalised[layer]
    figure = Figure((4.2 * gamma.shape[1], 3.2), layout="constrained")
    axes = figure.subplots(1, gamma.shape[1], sharey=True, squeeze=False)[0]
    for m, (axis, name) in enumerate(zip(axes, history.network.config.modalities, strict=True)):
        for chosen, colour in ((~penalised[m], "0.75"), (penalised[m], "tab:red")):
            channels = np.flatnonzero(chosen)[:: max(1, chosen.sum() // CHANNELS)]
            axis.plot(history.steps, gamma[:, m, channels], color=colour, linewidth=0.6)
        axis.axhspan(-history.threshold, history.threshold, color="tab:blue", alpha=0.15)
        axis.set(title=name, xlabel="step", ylabel="γ" if m == 0 else None)
    figure.suptitle(f"{history.name}: {layer}; red: penalised, blue: below θ", fontsize=9)
    return figure


def proportions(histories: Sequence[History]) -> Figure:
    """Figs. 11 and 12: the share of every layer's penalised γ below θ at the end, runs side by side."""
    figure = Figure((max(6, 0.35 * len(histories[0].gamma) + 2), 1.2 + 2.0 * len(histories)), layout="constrained")
    axes = figure.subplots(len(histories), 1, squeeze=False)[:, 0]
    for axis, history in zip(axes, histories, strict=True):
        shares = share_below(history)
        for m, name in enumerate(history.network.config.modalities):
            width = 0.8 / len(history.network.config.modalities)
            axis.bar(np.arange(len(shares)) + m * width, [100 * each[m] for each in shares.values()], width, label=name)
        axis.set(ylim=(0, 100), ylabel="|γ| < θ (%)", title=history.name)
        axis.set_xticks(np.arange(len(shares)) + 0.3, [_short(name) for name in shares], rotation=70, fontsize=6)
    axes[0].legend(fontsize=7)
    return figure


def share_below(history: History) -> dict[str, np.ndarray]:
    """The share (M,) of the penalised γ of each layer that ended below θ; of all γ where none is penalised."""
    shares = {}
    for name, gamma in history.gamma.items():
        penalised = history.penalised[name]
        region = penalised if penalised.any() else np.ones_like(penalised)
        below = (np.abs(gamma[-1]) < history.threshold) & region
        shares[name] = below.sum(1) / np.maximum(region.sum(1), 1)
    return shares


def recoveries(history: History) -> tuple[int, int]:
    """Of the penalised γ that were below θ at any earlier note: how many are at the end, and how many there were."""
    stayed = fell = 0
    for name, gamma in history.gamma.items():
        below = (np.abs(gamma) < history.threshold) & history.penalised[name]
        earlier = below[:-1].any(0)
        fell += int(earlier.sum())
        stayed += int((earlier & below[-1]).sum())
    return stayed, fell


def attraction(probability: Mapping[str, np.ndarray], history: History) -> Figure:
    """Fig. 4 and Theorem 1: predicted probability of γ = 0 against the share that is near 0, in ten bins.

    Args:
        probability: (M, C) of every layer.
    """
    predicted = np.concatenate([probability[name][history.penalised[name]] for name in history.gamma])
    near = np.concatenate(
        [np.abs(gamma[-1])[history.penalised[name]] < history.threshold for name, gamma in history.gamma.items()]
    )
    bins = np.minimum((predicted * 10).astype(int), 9)
    figure = Figure((5, 3.4), layout="constrained")
    axis = figure.subplots()
    shares = [100 * near[bins == b].mean() if (bins == b).any() else 0 for b in range(10)]
    axis.bar(np.arange(10) / 10 + 0.05, shares, 0.09, color="tab:red")
    for b in range(10):
        axis.annotate(f"{(bins == b).sum()}", (b / 10 + 0.05, shares[b]), ha="center", va="bottom", fontsize=7)
    axis.set(xlabel="probability of Theorem 1", ylabel="|γ| < θ at the end (%)", ylim=(0, 110), title=history.name)
    return figure


def sensitivity(results: Sequence[Mapping[str, float]], by: str) -> Figure:
    """Fig. 13: mean IoU of the ensemble against λ or θ, over several runs.

    Args:
        results: of each run, the value of `by`, "ensemble" in [0, 1] and "exchanged".
    """
    ordered = sorted(results, key=lambda each: each[by])
    figure = Figure((4.6, 3.2), layout="constrained")
    axis = figure.subplots()
    values = [each[by] for each in ordered]
    axis.plot(values, [100 * each["ensemble"] for each in ordered], "o-", color="tab:red")
    axis.set(
        xlabel={"penalty": "λ", "threshold": "θ"}[by], ylabel="mean IoU (%)", xscale="symlog" if 0 in values else "log"
    )
    other = axis.twinx()
    other.plot(values, [100 * each["exchanged"] for each in ordered], "s--", color="0.5")
    other.set_ylabel("exchanged (%)")
    return figure


def _short(layer: str) -> str:
    return layer.removeprefix("encoder.").replace("stages.", "").replace("layer", "l")
