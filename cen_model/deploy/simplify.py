# SPDX-License-Identifier: Apache-2.0
"""Exact rewriting of a trained network's graph: the same labels for less work.

A trained network carries constants that training had to compute anew for every image. Each pass uses one of them; it
can be left out, and reports what it saved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.fx import GraphModule

from cen_model.deploy.graph import Work, tidy, work
from cen_model.deploy.passes.common_channels import share_common
from cen_model.deploy.passes.constants import fold_constants
from cen_model.deploy.passes.exchanged import prune_exchanged
from cen_model.deploy.passes.linear import collapse_stem, compose_pointwise, ensemble_early
from cen_model.deploy.passes.matrices import as_matrix_products
from cen_model.deploy.passes.norms import fold_norms
from cen_model.deploy.passes.padding import absorb_padding
from cen_model.deploy.passes.pools import separate_pools
from cen_model.deploy.passes.stacking import unstack
from cen_model.deploy.passes.winograd import winograd
from cen_model.utils.validation import look_up

PASSES: dict[str, Callable[[GraphModule], None]] = {
    "constants": fold_constants,
    "padding": absorb_padding,
    "unstack": unstack,
    "stem": collapse_stem,
    "norms": fold_norms,
    "exchanged": prune_exchanged,
    "common": share_common,
    "ensemble": ensemble_early,
    "pointwise": compose_pointwise,
    "matrices": as_matrix_products,
    "pools": separate_pools,
    "winograd": winograd,
}
"""In the order in which they run; most find more to do after those before them."""


@dataclass(frozen=True)
class Step:
    """What a graph took before and after a pass."""

    name: str
    before: Work
    after: Work


def simplify(graph_module: GraphModule, example: Sequence[Tensor], passes: Sequence[str] = tuple(PASSES)) -> list[Step]:
    """Rewrite a graph in place.

    Args:
        graph_module: of `cen_model.deploy.graph.export`.
        example: its inputs.
        passes: names from `PASSES`; they run in its order.

    Raises:
        ValueError: an unknown name.
    """
    for name in passes:
        look_up("pass", name, PASSES)
    steps, before = [], work(graph_module)
    for name, rewrite in PASSES.items():
        if name in passes:
            rewrite(graph_module)
            tidy(graph_module, example)
            after = work(graph_module)
            steps.append(Step(name, before, after))
            before = after
    return steps
