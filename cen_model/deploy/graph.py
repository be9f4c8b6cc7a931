# SPDX-License-Identifier: Apache-2.0
"""Exported graphs: how they are made, read and changed. Every pass of `cen_model.deploy.simplify` is built of these."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule, Interpreter, Node
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten

# Views move no bytes.
_VIEWS = {
    aten.alias.default,
    aten.detach.default,
    aten.permute.default,
    aten.reshape.default,
    aten.select.int,
    aten.slice.Tensor,
    aten.split.Tensor,
    aten.split_with_sizes.default,
    aten.squeeze.dim,
    aten.unbind.int,
    aten.unsqueeze.default,
    aten.view.default,
    operator.getitem,
}


@dataclass(frozen=True)
class Work:
    """What one run of a graph takes.

    Attributes:
        flops: of convolutions and matrix products; a multiplication with an addition counts as two.
        bytes: read and written where every operation reads its arguments and writes its result once.
    """

    flops: int
    bytes: int


def export(module: nn.Module, example: Sequence[Tensor]) -> GraphModule:
    """A module's ATen graph for the shapes of `example`, functional, its weights as attributes."""
    with torch.no_grad():
        program = torch.export.export(module.eval(), tuple(example)).run_decompositions({})
    graph_module = program.module()
    # Checks of what a caller might give, and of types that half precision changes.
    checks = ("call_module", "_guards_fn"), ("call_function", aten._assert_tensor_metadata.default)
    for node in [node for op, target in checks for node in graph_module.graph.find_nodes(op=op, target=target)]:
        graph_module.graph.erase_node(node)
    tidy(graph_module, example)
    return graph_module


def tidy(graph_module: GraphModule, example: Sequence[Tensor]) -> None:
    """Remove what is not used any more, and note every node's shape: to be called after each change."""
    graph_module.graph.eliminate_dead_code()
    used = {node.target for node in graph_module.graph.find_nodes(op="get_attr")}
    for name, _ in [*graph_module.named_parameters(), *graph_module.named_buffers()]:
        if name not in used:
            owner, _, attribute = name.rpartition(".")
            delattr(graph_module.get_submodule(owner), attribute)
    graph_module.graph.lint()
    graph_module.recompile()
    with torch.no_grad():
        _Shapes(graph_module).note(example)


class _Shapes(Interpreter):
    """Notes each node's value, without content, as `meta["val"]`: only where something is new since the last time."""

    def __init__(self, graph_module: GraphModule) -> None:
        super().__init__(graph_module)
        # One mode for all of a graph's life: values of different modes do not go together.
        first = next(iter(graph_module.graph.nodes)).meta
        self._mode = first["val"].fake_mode if "call" in first else FakeTensorMode()
        self._changed: set[Node] = set()

    def note(self, example: Sequence[Tensor]) -> None:
        self.run(*map(self._mode.from_tensor, example))

    def run_node(self, n: Node) -> Any:
        call = (n.args, n.kwargs)
        if is_call(n, n.target) and n.meta.get("call") == call and self._changed.isdisjoint(n.all_input_nodes):
            return n.meta["val"]
        with self._mode:
            value = super().run_node(n)
        if _kind(value) != _kind(n.meta.get("val")):
            self._changed.add(n)
        n.meta.update(val=value, call=call)
        return value

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Tensor:
        return self._mode.from_tensor(super().get_attr(target, args, kwargs))


def _kind(value: Any) -> list[Any]:
    """What may change of a value for those who use it."""
    return [(each.shape, each.dtype) if isinstance(each, Tensor) else each for each in tree_leaves(value)]


def work(graph_module: GraphModule) -> Work:
    """Count FLOPs and bytes of a tidy graph, from shapes alone."""
    calls = [node for node in graph_module.graph.nodes if node.op == "call_function" and node.target not in _VIEWS]
    return Work(sum(map(_flops, calls)), sum(map(_bytes, calls)))


def layer_flops(graph_module: GraphModule) -> dict[str, int]:
    """FLOPs of a tidy graph's convolutions by the name of the network's weights that they were made of."""
    flops: dict[str, int] = defaultdict(int)
    for node in graph_module.graph.nodes:
        if conv := Conv.of(node):
            flops[conv.layer] += _flops(node)
    return dict(flops)


def is_call(node: Any, *targets: Any) -> bool:
    """Whether a node calls one of the ATen operations."""
    return isinstance(node, Node) and node.op == "call_function" and node.target in targets


def constant(node: Any) -> Tensor | None:
    """The value of a node that is a weight or another constant; None for every other node."""
    if not isinstance(node, Node) or node.op != "get_attr":
        return None
    return operator.attrgetter(node.target)(node.graph.owning_module)


def new_constant(graph_module: GraphModule, value: Tensor) -> Node:
    """A node with that value, at the place where the graph is being changed."""
    number = graph_module.meta["constants"] = graph_module.meta.get("constants", 0) + 1
    name = f"constant_{number}"
    graph_module.register_buffer(name, value.detach().clone(memory_format=torch.contiguous_format))
    return graph_module.graph.get_attr(name)


def shape(node: Node) -> torch.Size:
    """Of a tidy graph's node."""
    return node.meta["val"].shape


@dataclass(frozen=True)
class Conv:
    """The arguments of a two-dimensional convolution."""

    x: Node
    weight: Tensor
    bias: Tensor | None
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    layer: str
    """Name of the network's weights that these were made of; whatever is inserted in its place keeps it."""

    @classmethod
    def of(cls, node: Any) -> Conv | None:
        """None where the node is no convolution with constant weights."""
        if not is_call(node, aten.conv2d.default) or constant(node.args[1]) is None:
            return None
        defaults = (None, (1, 1), (0, 0), (1, 1), 1)
        x, weight, bias, stride, padding, dilation, groups = (*node.args, *defaults[len(node.args) - 2 :])
        bias = None if bias is None else constant(bias)
        layer = node.meta.get("layer", weight.target)
        return cls(x, constant(weight), bias, *(_pair(each) for each in (stride, padding, dilation)), groups, layer)

    @property
    def pointwise(self) -> bool:
        """1×1, over all channels, without stride or padding."""
        plain = self.stride == (1, 1) and self.padding == (0, 0) and self.groups == 1
        return plain and self.weight.shape[-2:] == (1, 1)

    def insert(self, graph_module: GraphModule, **changes: Any) -> Node:
        """Call this convolution, with some arguments changed, at the place where the graph is being changed."""
        values = {**vars(self), **changes}
        weight, bias = values["weight"], values["bias"]
        args = (values["x"], new_constant(graph_module, weight))
        args += (None if bias is None else new_constant(graph_module, bias),)
        args += tuple(list(values[name]) for name in ("stride", "padding", "dilation"))
        node = graph_module.graph.call_function(aten.conv2d.default, (*args, values["groups"]))
        node.meta["layer"] = self.layer
        return node


def single_user(node: Node) -> Node | None:
    """The one node that uses this one, None where there are more or less."""
    return next(iter(node.users)) if len(node.users) == 1 else None


def replace(node: Node, new: Node) -> None:
    """Let everything that used `node` use `new`."""
    node.replace_all_uses_with(new)
    node.graph.erase_node(node)


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value) * (3 - len(value))


def _flops(node: Node) -> int:
    if is_call(node, aten.conv2d.default):
        return 2 * shape(node).numel() * shape(node.args[1])[1:].numel()
    if is_call(node, aten.matmul.default, aten.mm.default, aten.bmm.default, aten.linear.default):
        return 2 * shape(node).numel() * shape(node.args[0])[-1]
    return 0


def _bytes(node: Node) -> int:
    values = [each.meta.get("val") for each in node.all_input_nodes] + [node.meta.get("val")]
    return sum(x.numel() * x.element_size() for x in tree_leaves(values) if isinstance(x, Tensor))
