# SPDX-License-Identifier: Apache-2.0
"""Which channels are exchanged is known after training: a replaced channel's own convolution is not computed.

Axes: C channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch.fx import GraphModule, Node

from cen_model.deploy import graph
from cen_model.deploy.graph import Conv, aten, constant, is_call, new_constant, single_user
from cen_model.deploy.passes.norms import FILTERS

# What may stand between an exchange and the next convolution: one tensor in, the same for every channel.
_ELEMENTWISE = (aten.relu.default, aten.hardswish.default, aten.silu.default, aten.hardtanh.default)
# Where an index has to restore the order of channels, which costs memory traffic, at least this share must be saved.
_MIN_SAVED = 0.25
# More slices than these are one index instead.
_MAX_SLICES = 8


@dataclass(frozen=True)
class Exchange:
    """One layer's exchange between two modalities.

    Attributes:
        sources: each modality's convolution.
        outputs: each modality's feature after the exchange, in the order of the graph; one where only a branch is left.
        picks: for each output and channel, which source it is taken from.
    """

    sources: tuple[Node, Node]
    outputs: tuple[Node, ...]
    picks: tuple[tuple[int, ...], ...]

    def saved(self) -> float:
        """Share of the sources' channels that nobody takes."""
        takers = list(zip(*self.picks, strict=True))
        return 1 - sum(len(set(each)) for each in takers) / (2 * len(takers))


def prune_exchanged(graph_module: GraphModule) -> None:
    """Compute of each convolution before an exchange only those channels that some modality takes from it.

    Where convolutions follow, their weights take the channels in a new order: first those that a modality has of its
    own, then those in common. Where not (a residual sum), slices or an index restore the order.
    """
    for exchange in _exchanges(graph_module):
        chains = [_chain(output) for output in exchange.outputs]
        if all(chains) and len({tuple(node.target for node in chain) for chain in chains}) == 1:
            _reorder(graph_module, exchange, chains)
        elif exchange.saved() >= _MIN_SAVED:
            _restore(graph_module, exchange)
    _leave_out_empty(graph_module)


def _leave_out_empty(graph_module: GraphModule) -> None:
    """Of the exchanges that stay, many replace no channel of a modality."""
    for node in graph_module.graph.find_nodes(op="call_function", target=aten.where.self):
        mask = constant(node.args[0])
        if mask is not None and not mask.any():
            graph.replace(node, node.args[2])


def _exchanges(graph_module: GraphModule) -> Iterator[Exchange]:
    waiting = [node for node in graph_module.graph.nodes if is_call(node, aten.where.self)]
    while waiting:
        node = waiting.pop(0)
        mask, (other, own) = constant(node.args[0]), node.args[1:]
        outputs = [node, *(each for each in waiting if each.args[1:] == (own, other))]
        convs = [Conv.of(own), Conv.of(other)]
        alone = {*own.users, *other.users} == set(outputs)
        if mask is None or not alone or any(conv is None or conv.groups > 1 for conv in convs):
            continue
        picks = [tuple(mask.flatten().int().tolist())]
        for twin in outputs[1:]:
            waiting.remove(twin)
            picks.append(tuple((~constant(twin.args[0])).flatten().int().tolist()))
        yield Exchange((own, other), tuple(outputs), tuple(picks))


def _chain(output: Node) -> list[Node] | None:
    """The elementwise operations after an exchange and the convolution they lead to; None where they lead elsewhere."""
    chain = [single_user(output)]
    while is_call(chain[-1], *_ELEMENTWISE):
        chain.append(single_user(chain[-1]))
    conv = Conv.of(chain[-1])
    return chain if conv is not None and conv.groups == 1 else None


def _reorder(graph_module: GraphModule, exchange: Exchange, chains: Sequence[list[Node]]) -> None:
    takers = list(zip(*exchange.picks, strict=True))
    order = sorted(range(len(takers)), key=lambda c: (len(set(takers[c])) == 1, takers[c]))
    with graph_module.graph.inserting_before(exchange.outputs[0]):
        features = _Features(graph_module, exchange, order, chains[0][:-1])
        inputs = [features.take(picks, order) for picks in exchange.picks]
    for x, *_, node in zip(inputs, *zip(*chains, strict=True), strict=True):
        conv = Conv.of(node)
        with graph_module.graph.inserting_before(node):
            new = conv.insert(graph_module, x=x, weight=conv.weight[:, order])
        if FILTERS in node.meta:
            filters = node.meta[FILTERS]
            new.meta[FILTERS] = replace(filters, weight=filters.weight[:, order])
        graph.replace(node, new)


def _restore(graph_module: GraphModule, exchange: Exchange) -> None:
    order = list(range(len(exchange.picks[0])))
    with graph_module.graph.inserting_before(exchange.outputs[0]):
        features = _Features(graph_module, exchange, order, ())
        new = [features.take(picks, order) for picks in exchange.picks]
    for output, node in zip(exchange.outputs, new, strict=True):
        graph.replace(output, node)


class _Features:
    """The channels that are left of an exchange's sources, and what is put together from them.

    Args:
        order: of the channels.
        elementwise: operations to apply to them.
    """

    def __init__(
        self, graph_module: GraphModule, exchange: Exchange, order: Sequence[int], elementwise: Sequence[Node]
    ) -> None:
        self._module = graph_module
        self._channels = [[c for c in order if source in {picks[c] for picks in exchange.picks}] for source in range(2)]
        self._nodes = [
            self._pruned(node, channels, elementwise)
            for node, channels in zip(exchange.sources, self._channels, strict=True)
        ]
        self._made: dict[tuple, Node] = {}

    def take(self, picks: Sequence[int], order: Sequence[int]) -> Node:
        """The channels in that order, each from the source picked for it. What was made once is used again."""
        places = [(picks[c], self._channels[picks[c]].index(c)) for c in order]
        # Neighbors in a source stay together: position minus index is the same for all of a run.
        runs = groupby(enumerate(places), key=lambda item: (item[1][0], item[1][1] - item[0]))
        runs = [[place for _, place in run] for _, run in runs]
        if len(runs) > _MAX_SLICES:
            return self._once(("index", *places), self._index, places)
        slices = [self._once((run[0], len(run)), self._slice, *run[0], len(run)) for run in runs]
        return slices[0] if len(slices) == 1 else self._once(("cat", *slices), self._call, aten.cat.default, slices, 1)

    def _pruned(self, node: Node, channels: Sequence[int], elementwise: Sequence[Node]) -> Node | None:
        if not channels:
            return None
        conv = Conv.of(node)
        bias = None if conv.bias is None else conv.bias[channels]
        new = conv.insert(self._module, weight=conv.weight[channels], bias=bias)
        for each in elementwise:
            new = self._call(each.target, new, *each.args[1:])
        return new

    def _once(self, key: tuple, make, *args) -> Node:
        if key not in self._made:
            self._made[key] = make(*args)
        return self._made[key]

    def _slice(self, source: int, start: int, length: int) -> Node:
        if length == len(self._channels[source]):
            return self._nodes[source]
        return self._call(aten.slice.Tensor, self._nodes[source], 1, start, start + length)

    def _index(self, places: Sequence[tuple[int, int]]) -> Node:
        both = self._once(("cat", *self._nodes), self._call, aten.cat.default, list(self._nodes), 1)
        index = torch.tensor([source * len(self._channels[0]) + position for source, position in places])
        return self._call(aten.index_select.default, both, 1, new_constant(self._module, index))

    def _call(self, target, *args) -> Node:
        return self._module.graph.call_function(target, args)
