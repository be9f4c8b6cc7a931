# SPDX-License-Identifier: Apache-2.0
"""How much a run exchanges, when it came to that, and whether γ̂ was selected or merely driven down, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cen_model.analysis.figures import recoveries, share_below
from cen_model.analysis.history import History


def explanation(histories: Sequence[History]) -> str:
    """Markdown of several runs."""
    return "\n".join(line for history in histories for line in _of_run(history))


def _of_run(history: History) -> list[str]:
    stayed, fell = recoveries(history)
    names = history.network.config.modalities
    shares = share_below(history)
    return [
        f"## {history.name}",
        "",
        f"{history.network.exchanged_share():.1%} of the channels in scope are exchanged after "
        f"{history.steps[-1]} steps (θ = {history.threshold:g}).",
        f"Penalized γ below θ by step: {', '.join(_shares_by_step(history))}.",
        f"Of {fell} penalized γ that were below θ at an earlier note, {stayed} are at the end.",
        "",
        "Where the penalized γ of a layer lie close together and the others hardly moved, the penalty alone drove "
        "them: which are below θ says little about their channels.",
        "",
        f"| layer | {' | '.join(f'{name} below θ' for name in names)} "
        "| penalized γ: 5 %, median, 95 % | other γ: 5 %, median, 95 % |",
        f"| --- |{' ---: |' * (len(names) + 2)}",
        *(
            f"| {name} | {' | '.join(f'{share:.0%}' for share in shares[name])} "
            f"| {_range(history, name, True)} | {_range(history, name, False)} |"
            for name in history.gamma
        ),
        "",
    ]


def _shares_by_step(history: History, notes: int = 8) -> list[str]:
    penalized = sum(int(each.sum()) for each in history.penalized.values())
    chosen = np.unique(np.linspace(0, len(history.steps) - 1, notes).round().astype(int))
    shares = []
    for t in chosen:
        near = (np.abs(gamma[t])[history.penalized[name]] < history.threshold for name, gamma in history.gamma.items())
        shares.append(f"{history.steps[t]}: {sum(int(each.sum()) for each in near) / max(1, penalized):.0%}")
    return shares


def _range(history: History, layer: str, penalized: bool) -> str:
    values = np.abs(history.gamma[layer][-1])[history.penalized[layer] == penalized]
    return ", ".join(f"{each:.3f}" for each in np.percentile(values, (5, 50, 95))) if len(values) else "-"
