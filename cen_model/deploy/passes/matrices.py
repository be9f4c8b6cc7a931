# SPDX-License-Identifier: Apache-2.0
"""Pools and resizes that backends get wrong, or do not know, as what they are: products with constant matrices.

TensorRT converts `adaptive_avg_pool2d` wrongly, and silently, where the output's size does not divide the input's;
anti-aliased resizing is known to PyTorch alone. Both are linear and act along rows and columns apart.

Axes: H W pixels in, h w pixels out.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from cen_model.deploy.graph import aten, is_call, new_constant, replace, shape

_SEPARABLE = (aten.adaptive_avg_pool2d.default, aten._upsample_bilinear2d_aa.vec, aten._upsample_bilinear2d_aa.default)


def as_matrix_products(graph_module: GraphModule) -> None:
    """Write them as P_h · x · P_wᵀ."""
    for node in [node for node in graph_module.graph.nodes if is_call(node, *_SEPARABLE)]:
        x, (height, width) = node.args[0], shape(node)[-2:]
        if is_call(node, _SEPARABLE[0]) and not shape(x)[-2] % height and not shape(x)[-1] % width:
            continue
        with graph_module.graph.inserting_before(node):
            columns = new_constant(graph_module, _matrix(node, shape(x)[-1], width).T)
            rows = new_constant(graph_module, _matrix(node, shape(x)[-2], height))
            narrowed = graph_module.graph.call_function(aten.matmul.default, (x, columns))
            new = graph_module.graph.call_function(aten.matmul.default, (rows, narrowed))
        replace(node, new)


def _matrix(node: Node, size: int, new_size: int) -> Tensor:
    """(new size, size): what the operation does along one axis, read off its answers to the unit vectors."""
    units = torch.eye(size).view(1, size, 1, size)
    rest = node.args[2:3] if is_call(node, *_SEPARABLE[1:]) else ()
    return node.target(units, [1, new_size], *rest, *((None,) if is_call(node, _SEPARABLE[1]) else ()))[0, :, 0].T
