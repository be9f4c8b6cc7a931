# SPDX-License-Identifier: Apache-2.0
"""Channels that two modalities have in common after an exchange pass the next convolution's shared filters once.

Axes: C channels.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from cen_model.deploy.graph import Conv, aten, is_call, new_constant, replace, shape
from cen_model.deploy.norms import FILTERS

# With fewer multiply-adds per output value, adding the common part takes longer than computing it twice.
_MIN_WORK = 128


def share_common(graph_module: GraphModule) -> None:
    """z_m = s_m ∘ (W x_m) becomes s_m ∘ (W' x_own,m) + s_m ∘ (W" x_common), the last product computed once.

    x_m is the concatenation of x_own,m and x_common; s_m is the scale of the norm that was folded into the weights.
    """
    seen: dict[str, Node] = {}
    for node in list(graph_module.graph.nodes):
        if FILTERS not in node.meta:
            continue
        layer = node.meta["layer"]
        first = seen.pop(layer, None)
        if first is None:
            seen[layer] = node
        else:
            _share(graph_module, first, node)


def _share(graph_module: GraphModule, first: Node, second: Node) -> None:
    common = _common_end(_parts(first.args[0]), _parts(second.args[0]))
    channels = sum(shape(part)[1] for part in common)
    filters, conv = first.meta[FILTERS], Conv.of(first)
    if conv.groups > 1 or channels * filters.weight[0, 0].numel() < _MIN_WORK:
        return
    with graph_module.graph.inserting_before(first):
        x = _joined(graph_module, common)
        shared = conv.insert(graph_module, x=x, weight=filters.weight[:, -channels:], bias=None)
    for node in (first, second):
        own = _parts(node.args[0])[: -len(common)]
        with graph_module.graph.inserting_before(node):
            new = _own_and_shared(graph_module, node, own, channels, shared)
        new.meta["val"] = node.meta["val"]
        replace(node, new)


def _own_and_shared(graph_module: GraphModule, node: Node, own: list[Node], channels: int, shared: Node) -> Node:
    conv, scale_C = Conv.of(node), node.meta[FILTERS].scale
    scale = new_constant(graph_module, scale_C.view(-1, 1, 1))
    scaled = graph_module.graph.call_function(aten.mul.Tensor, (shared, scale))
    if own:
        rest = conv.insert(graph_module, x=_joined(graph_module, own), weight=conv.weight[:, :-channels])
    else:
        rest = new_constant(graph_module, conv.bias.view(-1, 1, 1))
    return graph_module.graph.call_function(aten.add.Tensor, (scaled, rest))


def _parts(node: Node) -> list[Node]:
    along_channels = is_call(node, aten.cat.default) and node.args[1:] == (1,)
    return list(node.args[0]) if along_channels else [node]


def _common_end(first: list[Node], second: list[Node]) -> list[Node]:
    common = []
    for one, other in zip(reversed(first), reversed(second), strict=False):
        if one is not other:
            break
        common.insert(0, one)
    return common


def _joined(graph_module: GraphModule, parts: list[Node]) -> Node:
    return parts[0] if len(parts) == 1 else graph_module.graph.call_function(aten.cat.default, (parts, 1))
