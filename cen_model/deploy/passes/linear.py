# SPDX-License-Identifier: Apache-2.0
"""Neighboring linear operations change places or become one: the broadened stem, the ensemble, chains of 1×1.

Axes: M modalities, C channels.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
from torch.fx import GraphModule, Node

from cen_model.deploy.graph import Conv, aten, is_call, replace, shape, single_user


def collapse_stem(graph_module: GraphModule) -> None:
    """A convolution of channels repeated k times is one of the channels themselves, with the sum of its k filters."""
    for node in list(graph_module.graph.nodes):
        conv = Conv.of(node)
        if conv is None or conv.groups > 1 or not is_call(conv.x, aten.repeat.default):
            continue
        x, repeats = conv.x.args
        if repeats[0] != 1 or list(repeats[2:]) != [1, 1]:
            continue
        weight = conv.weight.unflatten(1, (repeats[1], -1)).sum(1)
        with graph_module.graph.inserting_before(node):
            new = conv.insert(graph_module, x=x, weight=weight)
        new.meta["val"] = node.meta["val"]
        replace(node, new)


def ensemble_early(graph_module: GraphModule) -> None:
    """Σ_m α_m f(x_m) = f(Σ_m α_m x_m) for an affine f, as Σ_m α_m = 1: the last layers run once instead of M times."""
    for split in [node for node in graph_module.graph.nodes if is_call(node, aten.split.Tensor)]:
        terms = sorted(split.users, key=lambda item: item.args[1])
        products = [single_user(item) for item in terms]
        if len(terms) != 2 or not all(is_call(product, aten.mul.Tensor) for product in products):
            continue
        weights = [product.args[0] for product in products]
        total = single_user(products[0])
        if not is_call(total, aten.add.Tensor) or single_user(products[1]) is not total:
            continue
        if _sum_to_1(weights):
            with graph_module.graph.inserting_before(total):
                mixed = _mix(graph_module, split.args[0], split, weights)
            replace(total, mixed)


def compose_pointwise(graph_module: GraphModule) -> None:
    """A 1×1 convolution and the one that alone uses it become one, where that takes fewer FLOPs."""
    for node in list(graph_module.graph.nodes):
        second = Conv.of(node)
        first = Conv.of(second.x) if second else None
        if first is None or not first.pointwise or second.groups > 1 or single_user(second.x) is not node:
            continue
        kernel = second.weight[0, 0].numel()
        out_channels, middle, in_channels = *second.weight.shape[:2], first.weight.shape[1]
        cheaper = kernel * in_channels * out_channels <= kernel * middle * out_channels + in_channels * middle
        # A bias before zero padding would be missing at the border.
        if not cheaper or (first.bias is not None and kernel > 1):
            continue
        weight = torch.einsum("omhw,mi->oihw", second.weight.double(), first.weight[:, :, 0, 0].double())
        bias = second.bias
        if first.bias is not None:
            bias = second.weight[:, :, 0, 0] @ first.bias + (0 if bias is None else bias)
        with graph_module.graph.inserting_before(node):
            new = second.insert(graph_module, x=first.x, weight=weight.to(second.weight.dtype), bias=bias)
        new.meta["val"] = node.meta["val"]
        replace(node, new)


def _sum_to_1(weights: Sequence[Node]) -> bool:
    """Whether weights are all parts of one softmax: they depend on the frame, for a modality may be missing from it."""
    if not all(is_call(weight, operator.getitem) for weight in weights):
        return False
    (unbound, *others), places = zip(*(weight.args for weight in weights), strict=True)
    if set(others) != {unbound} or not is_call(unbound, aten.unbind.int) or len(unbound.args) > 1:
        return False
    softmax = unbound.args[0]
    return is_call(softmax, aten.softmax.int) and softmax.args[1] == 0 and set(places) == set(range(shape(softmax)[0]))


def _mix(graph_module: GraphModule, stacked: Node, user: Node, weights: Sequence[Node]) -> Node:
    """Σ_m α_m x_m of a stacked node that `user` uses, taken as far upstream as linear operations reach."""
    graph = graph_module.graph
    conv = Conv.of(stacked)
    if conv is not None and single_user(stacked) is user:
        return conv.insert(graph_module, x=_mix(graph_module, conv.x, stacked, weights))
    if is_call(stacked, aten.add.Tensor) and any(_saves(each, stacked) for each in stacked.args):
        return graph.call_function(
            aten.add.Tensor, tuple(_mix(graph_module, each, stacked, weights) for each in stacked.args)
        )
    if is_call(stacked, aten.cat.default):
        parts = stacked.args[0]
    else:
        split = graph.call_function(aten.split.Tensor, (stacked, 1))
        parts = [graph.call_function(operator.getitem, (split, index)) for index in range(len(weights))]
    first, second = (graph.call_function(aten.mul.Tensor, pair) for pair in zip(parts, weights, strict=True))
    return graph.call_function(aten.add.Tensor, (first, second))


def _saves(node: Node, user: Node) -> bool:
    """Whether a convolution, or a sum with one, would run once instead of M times."""
    if single_user(node) is not user:
        return False
    return Conv.of(node) is not None or (
        is_call(node, aten.add.Tensor) and any(_saves(each, node) for each in node.args)
    )
