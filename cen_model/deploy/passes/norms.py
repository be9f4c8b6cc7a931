# SPDX-License-Identifier: Apache-2.0
"""BatchNorm has constant statistics in evaluation: it becomes part of the convolution before it.

Axes: C channels.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from cen_model.deploy.graph import Conv, aten, constant, is_call, replace, single_user

NORMS = (aten._native_batch_norm_legit_no_training.default, aten.batch_norm.default)

FILTERS = "filters"
"""Key of a convolution node's `meta`: its `Filters`, where a norm was folded into it."""


@dataclass(frozen=True)
class Filters:
    """What a convolution's weights were before a norm was folded into them.

    Attributes:
        weight: (C, C_in, kh, kw).
        scale: (C,), what it was multiplied with.
    """

    weight: Tensor
    scale: Tensor


def fold_norms(graph_module: GraphModule) -> None:
    """Multiply and shift each convolution's weights as the norm after it would its output."""
    for norm in [node for node in graph_module.graph.nodes if is_call(node, *NORMS)]:
        conv = Conv.of(norm.args[0])
        if conv is None or single_user(norm.args[0]) is not norm:
            continue
        scale_C, shift_C = _affine(norm)
        weight = conv.weight.double() * scale_C.view(-1, 1, 1, 1)
        bias = shift_C if conv.bias is None else shift_C + conv.bias.double() * scale_C
        with graph_module.graph.inserting_before(norm):
            folded = conv.insert(graph_module, weight=weight.to(conv.weight.dtype), bias=bias.to(conv.weight.dtype))
        folded.meta["val"] = norm.args[0].meta["val"]
        folded.meta[FILTERS] = Filters(conv.weight, scale_C.to(conv.weight.dtype))
        replace(_output(norm), folded)


def _affine(norm: Node) -> tuple[Tensor, Tensor]:
    """x → scale x + shift, float64 (C,)."""
    mean, variance = constant(norm.args[3]).double(), constant(norm.args[4]).double()
    epsilon = norm.args[6 if norm.target is NORMS[0] else 7]
    scale = torch.rsqrt(variance + epsilon)
    if norm.args[1] is None:
        return scale, -mean * scale
    scale = scale * constant(norm.args[1]).double()
    return scale, constant(norm.args[2]).double() - mean * scale


def _output(norm: Node) -> Node:
    """The normalized tensor: the norm itself, or the first of its results."""
    items = [user for user in norm.users if is_call(user, operator.getitem)]
    return items[0] if items else norm
