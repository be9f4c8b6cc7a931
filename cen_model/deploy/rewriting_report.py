# SPDX-License-Identifier: Apache-2.0
"""What rewriting saved, pass by pass and layer by layer, as text.

Axes: M modalities, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from cen_model.deploy.simplify import Step
from cen_model.nn.exchange import CONVS, ExchangeNorm
from cen_model.nn.network import MultimodalNetwork

_BARS = "▁▂▃▄▅▆▇█"
# Edges of the histogram of |γ|, in multiples of θ.
_EDGES = (0, 0.5, 1, 2, 5, 10, 20, 50, float("inf"))


def passes(steps: Sequence[Step]) -> str:
    """A table of what each pass saved."""
    lines = [f"{'pass':<12}{'GFLOP':>10}{'saved':>10}{'MB moved':>12}{'saved':>10}"]
    for step in steps:
        flops, moved = step.after.flops / 1e9, step.after.bytes / 1e6
        saved = (step.before.flops - step.after.flops) / 1e9, (step.before.bytes - step.after.bytes) / 1e6
        lines.append(f"{step.name:<12}{flops:>10.3f}{saved[0]:>10.3f}{moved:>12.1f}{saved[1]:>10.1f}")
    return "\n".join(lines)


def pruning(model: MultimodalNetwork, before: Mapping[str, int], after: Mapping[str, int]) -> str:
    """A table of the layers that exchange: histogram of |γ|, share of the channels replaced, and FLOPs.

    Args:
        before: FLOPs by the name of the weights, as of `layer_flops`, of the graph as it was exported.
        after: the same of the rewritten graph.
    """
    layers = list(_exchanging(model))
    if not layers:
        return "This network does not exchange channels: there are none to leave out."
    share = model.exchanged_share()
    if share == 0:
        return (
            "No scaling factor is below θ: this network never learned to exchange channels, and is an ordinary shared "
            "network. Train it with a larger λ (exchange penalty), or start its γ lower."
        )
    width = max(len(name) for name, _ in layers)
    edges = " ".join(f"{edge:g}" for edge in _EDGES[1:-1])
    title = f"{'layer':<{width}}  |γ|{'':<6}{'replaced by modality':>22}{'GFLOP':>9}{'→':>4}{'':>7}"
    lines = [f"{share:.0%} of the channels in scope are exchanged; |γ| in bins of θ × [0 {edges} ∞]", title]
    for name, norm in layers:
        replaced = " ".join(f"{each.float().mean():4.0%}" for each in norm.replaced())
        flops = [counts.get(f"model.{name}.weight", 0) / 1e9 for counts in (before, after)]
        lines.append(
            f"{name:<{width}}  {_histogram(norm.scaling_factors(), norm.policy)} {replaced:>22}"
            f"{flops[0]:>9.3f}{'→':>4}{flops[1]:>7.3f}"
        )
    return "\n".join(lines)


def _exchanging(model: MultimodalNetwork) -> Iterator[tuple[str, ExchangeNorm]]:
    """(name of the convolution, the norm after it)."""
    conv = ""
    for name, module in model.named_modules():
        if isinstance(module, CONVS):
            conv = name
        elif isinstance(module, ExchangeNorm):
            yield conv, module


def _histogram(gamma_MC: Tensor, policy: nn.Module) -> str:
    """One bar per bin of |γ|, in multiples of θ."""
    threshold = getattr(policy, "threshold", 0.02)
    multiples = gamma_MC.detach().abs().flatten() / threshold
    bins = torch.bucketize(multiples, torch.tensor(_EDGES[1:-1]))
    counts = bins.bincount(minlength=len(_EDGES) - 1)
    heights = (counts / counts.max() * (len(_BARS) - 1)).round().int().tolist()
    return "".join(" " if count == 0 else _BARS[height] for height, count in zip(heights, counts.tolist(), strict=True))
