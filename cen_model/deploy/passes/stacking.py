# SPDX-License-Identifier: Apache-2.0
"""Modalities are stacked along the batch for training; an engine has other constants for each, so they part again.

Axes: M modalities, C channels, H W pixels.
"""

from __future__ import annotations

import operator

from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

from cen_model.deploy.graph import aten, constant, is_call, replace, shape
from cen_model.deploy.passes.norms import NORMS

# Operations that treat the images of a batch alike and apart from each other.
_BATCHWISE = {
    aten.adaptive_avg_pool2d.default,
    aten.add.Tensor,
    aten.avg_pool2d.default,
    aten.clamp.default,
    aten.conv2d.default,
    aten.hardsigmoid.default,
    aten.hardswish.default,
    aten.hardtanh.default,
    aten.max_pool2d.default,
    aten.mean.dim,
    aten.mul.Tensor,
    aten.relu.default,
    aten.sigmoid.default,
    aten.silu.default,
    aten.upsample_bilinear2d.vec,
}


def unstack(graph_module: GraphModule) -> None:
    """Let a stacked batch part before the first operation that leads to a private norm, not just before the norm.

    Also where one modality's part alone is asked for: what computes the others' is then left out. The decoder, which
    has no norms of its own in a RefineNet, keeps its larger batch.
    """
    waiting = [node for node in graph_module.graph.nodes if is_call(node, aten.split.Tensor) and _worth_parting(node)]
    while waiting:
        split = waiting.pop()
        parts = _parts_of_cat(split.args[0])
        if parts is None and _is_batchwise(split.args[0]):
            parts = _part(graph_module, split.args[0], waiting)
        if parts is not None:
            for item in list(split.users):
                replace(item, parts[item.args[1]])
            graph_module.graph.erase_node(split)


def _worth_parting(split: Node) -> bool:
    """Whether its parts are normalized each in its own way, or not all of them are used."""
    items = list(split.users)
    normalized = any(is_call(user, *NORMS) for item in items for user in item.users)
    return normalized or len(items) < len(split.meta["val"])


def _is_batchwise(node: Node) -> bool:
    return is_call(node, *_BATCHWISE) or (is_call(node, aten.cat.default) and node.args[1:] == (1,))


def _parts_of_cat(node: Node) -> list[Node] | None:
    """The images of a batch that was just put together from them."""
    along_batch = is_call(node, aten.cat.default) and (len(node.args) == 1 or node.args[1] == 0)
    if along_batch and all(shape(part)[0] == 1 for part in node.args[0]):
        return list(node.args[0])
    return None


def _part(graph_module: GraphModule, node: Node, waiting: list[Node]) -> list[Node]:
    """Replace a batchwise operation by one for each image and a cat of them; its arguments are to part likewise."""
    graph, count = graph_module.graph, shape(node)[0]
    with graph.inserting_before(node):
        items = {
            argument: _items(graph, argument, waiting)
            for argument in node.all_input_nodes
            if constant(argument) is None and shape(argument)[0] == count
        }
        parts = []
        for index in range(count):
            args = map_arg(node.args, lambda each, index=index: items[each][index] if each in items else each)
            parts.append(graph.call_function(node.target, args, dict(node.kwargs)))
            parts[-1].meta["val"] = node.meta["val"][:1]
        stacked = graph.call_function(aten.cat.default, (parts,))
        stacked.meta["val"] = node.meta["val"]
    replace(node, stacked)
    return parts


def _items(graph: Graph, stacked: Node, waiting: list[Node]) -> list[Node]:
    """The images of a batch, by a split that is to part what it splits in its turn."""
    split = graph.call_function(aten.split.Tensor, (stacked, 1))
    split.meta["val"] = stacked.meta["val"].split(1)
    waiting.append(split)
    items = [graph.call_function(operator.getitem, (split, index)) for index in range(len(split.meta["val"]))]
    for item, value in zip(items, split.meta["val"], strict=True):
        item.meta["val"] = value
    return items
