# SPDX-License-Identifier: Apache-2.0
"""Zeros around an image, such as TensorFlow's "same" padding, become the padding of the convolution that follows."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch.fx import GraphModule, Node

from cen_model.deploy.graph import Conv, aten, is_call, replace


def absorb_padding(graph_module: GraphModule) -> None:
    """Let convolutions pad for themselves, which saves a copy of the image.

    A convolution pads alike on both sides. Where more zeros are wanted on one side, both get the larger number, and the
    filter gets rows or columns of zeros that keep its window where it was.
    """
    for node in list(graph_module.graph.nodes):
        conv = Conv.of(node)
        margins = _margins(conv.x) if conv else None
        if margins is None or conv.padding != (0, 0) or conv.dilation != (1, 1):
            continue
        left, right, top, bottom = margins
        zeros = max(0, right - left), max(0, left - right), max(0, bottom - top), max(0, top - bottom)
        weight, padding = F.pad(conv.weight, zeros), (max(top, bottom), max(left, right))
        with graph_module.graph.inserting_before(node):
            new = conv.insert(graph_module, x=conv.x.args[0], weight=weight, padding=padding)
        new.meta["val"] = node.meta["val"]
        replace(node, new)


def _margins(pad: Node) -> Sequence[int] | None:
    """How many zeros stand left, right, above and below; None where the node pads otherwise or not at all."""
    if not is_call(pad, aten.pad.default) or pad.args[2:] not in ((), ("constant",), ("constant", 0)):
        return None
    margins = pad.args[1]
    return margins if len(margins) == 4 and min(margins) >= 0 else None
