# SPDX-License-Identifier: Apache-2.0
"""What does not depend on the frame is computed once: masks of exchange, softmax of α, indices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from cen_model.deploy.graph import aten, constant, is_call, new_constant, replace


def fold_constants(graph_module: GraphModule) -> None:
    """Replace every operation on constants alone by its result, and leave out what does nothing."""
    known: dict[Node, Any] = {}
    for node in list(graph_module.graph.nodes):
        if node.op == "get_attr":
            known[node] = constant(node)
        elif _changes_nothing(node):
            replace(node, node.args[0])
        elif node.op == "call_function" and all(each in known for each in node.all_input_nodes):
            known[node] = _evaluate(node, known)
    for node, value in known.items():
        if node.op == "call_function" and isinstance(value, Tensor) and any(user not in known for user in node.users):
            with graph_module.graph.inserting_before(node):
                node.replace_all_uses_with(new_constant(graph_module, value))


def _evaluate(node: Node, known: dict[Node, Any]) -> Any:
    args, kwargs = torch.fx.node.map_arg((node.args, dict(node.kwargs)), known.__getitem__)
    with torch.no_grad():
        return node.target(*args, **kwargs)


def _changes_nothing(node: Node) -> bool:
    if is_call(node, aten.detach.default, aten.alias.default, aten.clone.default):
        return True
    return is_call(node, aten.add.Tensor) and node.args[1] == 0  # Python's sum() starts from 0
