# SPDX-License-Identifier: Apache-2.0
"""Half precision, from the first convolution on."""

from __future__ import annotations

from typing import Literal

import torch
from torch.fx import GraphModule, Node

from cen_model.deploy.graph import Conv, aten, constant, new_constant

Precision = Literal["fp32", "fp16", "bf16"]
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def cast(graph_module: GraphModule, dtype: torch.dtype) -> None:
    """Let convolutions, and what follows them, compute in another type.

    What comes before them stays in float32: sensor values and their normalization, where half precision would cost
    millimeters of depth.
    """
    cast_nodes: set[Node] = set()
    for node in list(graph_module.graph.nodes):
        if node.op != "call_function":
            continue
        if Conv.of(node) is None and not cast_nodes.intersection(node.all_input_nodes):
            continue
        with graph_module.graph.inserting_before(node):
            for argument in node.all_input_nodes:
                if argument not in cast_nodes and _is_float32(argument):
                    node.replace_input_with(argument, _cast(graph_module, argument, dtype))
        if not _leaves_floats(node):
            cast_nodes.add(node)


def _is_float32(node: Node) -> bool:
    return getattr(node.meta.get("val"), "dtype", None) == torch.float32


def _leaves_floats(node: Node) -> bool:
    """Whether a node's result is of a type of its own: indices, or an explicit conversion."""
    value = node.meta.get("val")
    return (isinstance(value, torch.Tensor) and not value.is_floating_point()) or node.target is aten._to_copy.default


def _cast(graph_module: GraphModule, node: Node, dtype: torch.dtype) -> Node:
    value = constant(node)
    if value is not None:
        return new_constant(graph_module, value.to(dtype))
    return graph_module.graph.call_function(aten._to_copy.default, (node,), {"dtype": dtype})
