# SPDX-License-Identifier: Apache-2.0
"""3×3 convolutions by Winograd's minimal filtering F(4, 3) along each row (Lavin and Gray 2016, § 4.1).

Six 3×1 convolutions make four columns of output that otherwise take twelve: half the multiplications. One dimension
only: the transforms of two would move more memory than the second halving saves on a CPU.

Axes: C channels, H W pixels, T tiles of four columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.fx import Graph, GraphModule, Node

from cen_model.deploy.graph import Conv, aten, new_constant, replace, shape

TILE = 4
# Bᵀ, G and Aᵀ of F(4, 3) at the points 0, ±1, ±2, ∞.
INPUT = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
FILTER = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
OUTPUT = (
    (1, 1, 1, 1, 1, 0),
    (0, 1, -1, 2, -2, 0),
    (0, 1, 1, 4, 4, 0),
    (0, 1, -1, 8, -8, 1),
)
# With fewer channels, the transforms take longer than the multiplications they save.
_MIN_CHANNELS = 32


def winograd(graph_module: GraphModule) -> None:
    """Rewrite every 3×3 convolution without stride or dilation that has channels enough."""
    for node in list(graph_module.graph.nodes):
        conv = Conv.of(node)
        if conv is None or not _suits(conv, node):
            continue
        with graph_module.graph.inserting_before(node):
            new = _filtered(graph_module, conv, shape(node))
        new.meta["val"] = node.meta["val"]
        replace(node, new)


def _suits(conv: Conv, node: Node) -> bool:
    plain = conv.weight.shape[-2:] == (3, 3) and conv.stride == conv.padding == conv.dilation == (1, 1)
    wide = min(conv.weight.shape[:2]) >= _MIN_CHANNELS and shape(node)[-1] >= TILE
    return plain and conv.groups == 1 and wide


def _filtered(graph_module: GraphModule, conv: Conv, output: torch.Size) -> Node:
    graph = graph_module.graph
    height, width = output[-2:]
    tiles = -(-width // TILE)
    padded = graph.call_function(aten.constant_pad_nd.default, (conv.x, [1, TILE * tiles + 1 - width]))
    columns = [
        graph.call_function(aten.slice.Tensor, (padded, 3, j, j + TILE * (tiles - 1) + 1, TILE)) for j in range(6)
    ]
    products = []
    for row, weight in zip(INPUT, _filters(conv.weight), strict=True):
        x = _combination(graph, row, columns)
        products.append(conv.insert(graph_module, x=x, weight=weight, bias=None, padding=(1, 0)))
    results = [_combination(graph, row, products) for row in OUTPUT]
    stacked = graph.call_function(aten.stack.default, (results, 4))
    y = graph.call_function(aten.reshape.default, (stacked, [*output[:2], height, TILE * tiles]))
    if TILE * tiles > width:
        y = graph.call_function(aten.slice.Tensor, (y, 3, 0, width))
    if conv.bias is None:
        return y
    return graph.call_function(aten.add.Tensor, (y, new_constant(graph_module, conv.bias.view(-1, 1, 1))))


def _filters(weight: torch.Tensor) -> torch.Tensor:
    """(C, C_in, 3, 3) → (6, C, C_in, 3, 1)."""
    transform = torch.tensor(FILTER, dtype=torch.float64)
    return torch.einsum("ja,oiha->joih", transform, weight.double()).unsqueeze(-1).to(weight.dtype)


def _combination(graph: Graph, factors: Sequence[float], terms: Sequence[Node]) -> Node:
    """Σ factor · term, as multiplications and additions that a compiler fuses into one pass."""
    total = None
    for factor, term in zip(factors, terms, strict=True):
        if factor == 0:
            continue
        if total is None:
            total = term if factor == 1 else graph.call_function(aten.mul.Tensor, (term, factor))
        else:
            total = graph.call_function(aten.add.Tensor, (total, term), {"alpha": factor})
    return total
