# SPDX-License-Identifier: Apache-2.0
"""Channels that two modalities have in common after an exchange pass the next convolution's shared filters once.

Axes: C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch.fx import GraphModule, Node

from cen_model.deploy.graph import Conv, aten, is_call, new_constant, replace, shape
from cen_model.deploy.passes.norms import FILTERS

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


@dataclass(frozen=True)
class _Part:
    """Channels of a feature, from `start` to before `stop`."""

    feature: Node
    start: int
    stop: int


def _share(graph_module: GraphModule, first: Node, second: Node) -> None:
    *both, common = _divided(_parts(first.args[0]), _parts(second.args[0]))
    channels = sum(part.stop - part.start for part in common)
    filters, conv = first.meta[FILTERS], Conv.of(first)
    if conv.groups > 1 or channels * filters.weight[0, 0].numel() < _MIN_WORK:
        return
    with graph_module.graph.inserting_before(first):
        x = _joined(graph_module, common)
        shared = conv.insert(graph_module, x=x, weight=filters.weight[:, -channels:], bias=None)
    for node, own in zip((first, second), both, strict=True):
        with graph_module.graph.inserting_before(node):
            new = _own_and_shared(graph_module, node, own, channels, shared)
        new.meta["val"] = node.meta["val"]
        replace(node, new)


def _own_and_shared(graph_module: GraphModule, node: Node, own: list[_Part], channels: int, shared: Node) -> Node:
    conv, scale_C = Conv.of(node), node.meta[FILTERS].scale
    scale = new_constant(graph_module, scale_C.view(-1, 1, 1))
    scaled = graph_module.graph.call_function(aten.mul.Tensor, (shared, scale))
    if own:
        rest = conv.insert(graph_module, x=_joined(graph_module, own), weight=conv.weight[:, :-channels])
    else:
        rest = new_constant(graph_module, conv.bias.view(-1, 1, 1))
    return graph_module.graph.call_function(aten.add.Tensor, (scaled, rest))


def _parts(node: Node) -> list[_Part]:
    along_channels = is_call(node, aten.cat.default) and node.args[1:] == (1,)
    return [_part(each) for each in (node.args[0] if along_channels else [node])]


def _part(node: Node) -> _Part:
    if is_call(node, aten.slice.Tensor) and node.args[1] == 1 and len(node.args) == 4:
        feature, _, start, stop = node.args
        return _Part(feature, start, stop)
    return _Part(node, 0, shape(node)[1])


def _divided(first: list[_Part], second: list[_Part]) -> tuple[list[_Part], list[_Part], list[_Part]]:
    """What each has of its own, and what both end with."""
    first, second, common = list(first), list(second), []
    while first and second and (first[-1].feature, first[-1].stop) == (second[-1].feature, second[-1].stop):
        one, other = first.pop(), second.pop()
        start = max(one.start, other.start)
        common.insert(0, _Part(one.feature, start, one.stop))
        for parts, part in ((first, one), (second, other)):
            if part.start < start:
                parts.append(_Part(part.feature, part.start, start))
    return first, second, common


def _joined(graph_module: GraphModule, parts: list[_Part]) -> Node:
    nodes = [_taken(graph_module, part) for part in parts]
    return nodes[0] if len(nodes) == 1 else graph_module.graph.call_function(aten.cat.default, (nodes, 1))


def _taken(graph_module: GraphModule, part: _Part) -> Node:
    if (part.start, part.stop) == (0, shape(part.feature)[1]):
        return part.feature
    return graph_module.graph.call_function(aten.slice.Tensor, (part.feature, 1, part.start, part.stop))
