# SPDX-License-Identifier: Apache-2.0
"""TensorRT as far as it goes without a GPU: the operations it is given, what they are converted to, and the build."""

from __future__ import annotations

import platform
from copy import deepcopy
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from cen_model.benchmark.reference import exchange_a_third
from cen_model.deploy.backends import tensorrt
from cen_model.deploy.backends.selection import BACKENDS
from cen_model.deploy.build import MAX_DIFFERENCE
from cen_model.deploy.frame import Frame, FrameConfig
from cen_model.deploy.graph import aten, export
from cen_model.deploy.precision import DTYPES, cast
from cen_model.deploy.simplify import simplify
from cen_model.models import build
from helpers.deployed import GROUPS, SENSOR, narrowed, tensors
from helpers.trt_nogpu import build_engine, convert, emulate, import_torch_tensorrt, lower

PASSES = BACKENDS["tensorrt"].passes["cuda"]
NETWORKS = {
    **{
        f"{decoder}-{encoder}": replace(narrowed("cen"), decoder=decoder, encoder=encoder)
        for encoder in ("resnet18", "resnet50")
        for decoder in ("refinenet", "light_refinenet", "pspnet")
    },
    "cen-light-mobilenet": narrowed("cen-light-mobilenet"),
    "cen-lite0": narrowed("cen-lite0"),
}
# What else there is in the registry: one modality alone, and other activations.
OTHERS = {
    "depth": replace(narrowed("depth"), encoder="resnet18"),
    "cen-light-efficientnet": narrowed("cen-light-efficientnet"),
}

# Each of them, and all that Torch-TensorRT decomposes it into, has a converter in Torch-TensorRT 2.8 to 2.14. A new one
# is to be looked up there.
KNOWN = {
    "linear": ("add.Tensor", "conv2d.default", "div.Tensor", "matmul.default", "mul.Tensor", "sub.Tensor"),
    "pools": ("adaptive_avg_pool2d.default", "max_pool2d.default"),  # the first where its output divides its input
    "resizing": ("index_select.default", "upsample_bilinear2d.vec"),
    "activations": ("hardsigmoid.default", "hardswish.default", "relu.default", "sigmoid.default", "silu.default"),
    "ReLU6": ("hardtanh.default",),
    "channels": ("cat.default", "slice.Tensor", "split.Tensor", "where.self"),
    "what is missing": ("amin.default", "lt.Scalar", "softmax.int", "stack.default", "unbind.int"),
    "holes": ("__and__.Tensor", "gt.Scalar", "isfinite.default", "where.ScalarOther"),
    "shapes": ("permute.default", "select.int", "unsqueeze.default"),
    "answers": ("amax.default", "argmax.default", "round.default"),
    "groups": ("lt.Scalar",),
    "confidence": ("exp.default", "reciprocal.default", "sum.dim_IntList"),
    "types": ("_to_copy.default",),
}
OPERATIONS = {"<built-in function getitem>", *(f"aten.{name}" for kind in KNOWN.values() for name in kind)}


@pytest.fixture(scope="module")
def torch_tensorrt():
    if find_spec("torch_tensorrt") is None or find_spec("tensorrt_rtx") is None:
        where = "; it has no packages for aarch64" if platform.machine() == "aarch64" else ""
        pytest.skip(f"TensorRT for RTX is not installed: pip install 'cen_ros[tensorrt-rtx]'{where}")
    if torch.version.cuda is None:
        pytest.skip("this PyTorch is built without CUDA, which Torch-TensorRT is linked with")
    with pytest.MonkeyPatch.context() as patch:
        yield import_torch_tensorrt(patch)


def exported(config, size=SENSOR):
    """A frame's graph, which gives the logits last, and inputs with every kind of hole in the depth image."""
    torch.manual_seed(0)
    model = exchange_a_third(build(config), seed=0)
    each = Frame(model, FrameConfig.of(config, SENSOR, size, confidence=True))
    inputs = tensors(each)
    for depth_HW in (x for x in inputs if x.ndim == 2):
        depth_HW[40:60, 50:55] = torch.tensor([0, torch.nan, torch.inf, -torch.inf, -1])
    graph_module = export(each, inputs)
    graph = graph_module.graph
    (argmax,) = graph.find_nodes(op="call_function", target=aten.argmax.default)
    (output,) = graph.find_nodes(op="output")
    output.args = ((*output.args[0], argmax.args[0]),)
    graph.set_codegen(torch.fx.graph.CodeGen())  # the frame's own packs as many results as it had
    graph_module.recompile()
    return graph_module, inputs


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    """A frame's graph as TensorRT gets it, its inputs, and its results before it was rewritten.

    At this size, the bins 2 and 6 of a PSPNet do not divide the 9 rows of its features.
    """
    graph_module, inputs = exported(NETWORKS[request.param], (72, 96))
    with torch.no_grad():
        results = graph_module(*inputs)
    simplify(graph_module, inputs, PASSES)
    return graph_module, inputs, results


def operations(graph_module):
    return {str(node.target) for node in graph_module.graph.nodes if node.op == "call_function"}


def test_operations_are_known(network):
    assert operations(network[0]) <= OPERATIONS


@pytest.mark.parametrize("name", OTHERS)
def test_operations_of_other_networks_are_known(name):
    graph_module, inputs = exported(OTHERS[name], (72, 96))
    simplify(graph_module, inputs, PASSES)
    assert operations(graph_module) <= OPERATIONS


@pytest.fixture(scope="module")
def grouped():
    """The graph of a frame whose seven classes become three labels and void, its inputs, and its results."""
    torch.manual_seed(0)
    model = exchange_a_third(build(narrowed("cen-light18")), seed=0)
    each = Frame(model, FrameConfig.of(model.config, SENSOR, confidence=True, groups=GROUPS))
    inputs = tensors(each)
    with torch.no_grad():
        results = each(*inputs)
    graph_module = export(each, inputs)
    simplify(graph_module, inputs, PASSES)
    return graph_module, inputs, results


def test_operations_of_groups_are_known(grouped):
    assert operations(grouped[0]) <= OPERATIONS


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_groups_convert_and_build(torch_tensorrt, grouped, precision):
    graph_module, inputs, (labels, confidence) = grouped
    if precision != "fp32":
        graph_module = deepcopy(graph_module)
        cast(graph_module, DTYPES[precision])
        graph_module.recompile()
    results, interpreter = converted(graph_module, inputs)
    assert set(results[0].unique().tolist()) == set(GROUPS)
    assert agreement(results[0], labels) >= 1 - MAX_DIFFERENCE[precision]
    assert (results[1].int() - confidence.int()).abs().float().mean() < 1
    build_engine(interpreter)


@torch.no_grad()
def converted(graph_module, inputs):
    """What TensorRT is told to compute of inputs, and the interpreter that told it."""
    program, given = tensorrt.without_bytes(deepcopy(graph_module), inputs)
    interpreter = convert(lower(program, given), given)
    return tensorrt.to_bytes(emulate(interpreter.ctx.net, given)), interpreter


def difference(x, y):
    """Largest, as a share of the largest value."""
    return ((x.float() - y.float()).abs().max() / y.float().abs().max()).item()


def agreement(x, y):
    return (x == y).float().mean().item()


# Largest difference of the logits from those of the same graph in PyTorch.
TOLERANCES = {"fp32": 1e-5, "fp16": 5e-3}


def check(results, expected, precision):
    """Labels, confidence and logits. Where the labels differ, two are as likely, which the confidence shows not."""
    assert results[0].dtype == results[1].dtype == torch.uint8 and results[2].dtype == DTYPES[precision]
    assert agreement(results[0], expected[0]) >= 1 - MAX_DIFFERENCE[precision]
    assert (results[1].int() - expected[1].int()).abs().max() <= 1 + 255 * TOLERANCES[precision]
    assert difference(results[2], expected[2]) <= TOLERANCES[precision]


@pytest.mark.parametrize("precision", TOLERANCES)
def test_converts_and_builds(torch_tensorrt, network, precision):
    graph_module, inputs, (labels, *_) = network
    if precision != "fp32":
        graph_module = deepcopy(graph_module)
        cast(graph_module, DTYPES[precision])
        graph_module.recompile()
    with torch.no_grad():
        _, *expected = graph_module(*inputs)
    results, interpreter = converted(graph_module, inputs)
    check(results, (labels, *expected), precision)
    build_engine(interpreter)


def test_a_wrong_conversion_shows(torch_tensorrt):
    """Pooling to bins that do not divide 16, which is why PSPNets get matrices instead."""
    graph_module, inputs = exported(NETWORKS["pspnet-resnet18"])
    with torch.no_grad():
        expected = graph_module(*inputs)
    simplify(graph_module, inputs, [name for name in PASSES if name != "matrices"])
    results, _ = converted(graph_module, inputs)
    assert difference(results[2], expected[2]) > 1000 * TOLERANCES["fp32"]

    simplify(graph_module, inputs, ["matrices"])
    results, _ = converted(graph_module, inputs)
    check(results, expected, "fp32")


def test_versions_are_those_of_the_libraries(torch_tensorrt):
    import tensorrt as library

    found = {"torch-tensorrt-rtx": torch_tensorrt.__version__, "tensorrt-rtx": library.__version__}
    assert tensorrt.versions() == found


def test_bytes_are_converted_outside_the_program():
    class Inverted(nn.Module):
        def forward(self, x):
            return (255 - x.flip(0).float()).to(torch.uint8), x.float().mean()

    x = torch.arange(256, dtype=torch.uint8)
    program, inputs = tensorrt.without_bytes(export(Inverted(), [x]), [x])
    outputs = program.module()(*inputs)
    assert [each.dtype for each in (*inputs, *outputs)] == [torch.float32, torch.int32, torch.float32]
    inverted, mean = tensorrt.to_bytes(outputs)
    assert inverted.dtype == torch.uint8 and torch.equal(inverted, x)
    assert mean == 127.5


def test_it_says_why_it_cannot_be_used():
    assert "not for cpu" in tensorrt.unavailable(torch.device("cpu"))
    if not torch.cuda.is_available():
        assert "no CUDA device" in tensorrt.unavailable(torch.device("cuda"))
