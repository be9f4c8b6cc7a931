# SPDX-License-Identifier: Apache-2.0
"""Every rewriting pass against the network as it was trained: the same numbers, for the work that was to be saved."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cen_model.deploy import rewriting_report
from cen_model.deploy.frame import Frame, FrameConfig
from cen_model.deploy.graph import aten, export, is_call, layer_flops, work
from cen_model.deploy.passes.norms import NORMS
from cen_model.deploy.simplify import PASSES, simplify
from cen_model.nn.complexity import measure_cost
from cen_model.nn.exchange import exchange_norms
from helpers.deployed import NETWORKS, Logits, frame, network, tensors

TOLERANCE = 1e-4  # of the largest logit


@cache
def example(name, **options):
    """A frame's logits as a module, its inputs and its graph, which takes long to export."""
    each = frame(name, **options)
    module, inputs = Logits(each), tensors(each)
    return module, inputs, export(module, inputs)


def rewritten(graph_module, inputs, passes=tuple(PASSES)):
    graph_module = copy.deepcopy(graph_module)
    steps = simplify(graph_module, inputs, passes)
    return graph_module, steps


def check_logits(module, inputs, graph_module):
    with torch.no_grad():
        expected, actual = module(*inputs), graph_module(*inputs)
    assert (actual - expected).abs().max() <= TOLERANCE * expected.abs().max()
    assert (actual.argmax(1) == expected.argmax(1)).float().mean() >= 0.9999


IN_TURN = ["cen-light18", "cen-pspnet101"]


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in IN_TURN])
def test_all_passes_leave_the_logits_as_they_are(name):
    module, inputs, exported = example(name)
    check_logits(module, inputs, exported)
    graph_module, _ = rewritten(exported, inputs)
    check_logits(module, inputs, graph_module)


@pytest.mark.parametrize("name", IN_TURN)
def test_each_pass_in_turn_leaves_the_logits_as_they_are(name):
    module, inputs, exported = example(name)
    graph_module = copy.deepcopy(exported)
    for one in PASSES:
        simplify(graph_module, inputs, [one])
        check_logits(module, inputs, graph_module)


@pytest.mark.parametrize("left_out", PASSES)
def test_each_pass_can_be_left_out(left_out):
    module, inputs, exported = example("cen-light18")
    graph_module, steps = rewritten(exported, inputs, [one for one in PASSES if one != left_out])
    assert [step.name for step in steps] == [one for one in PASSES if one != left_out]
    check_logits(module, inputs, graph_module)


def test_nothing_is_padded_apart_and_depth_enters_as_one_channel():
    """TensorFlow's "same" padding stands between the repeated image and the stem, and before many strided layers."""
    _, inputs, exported = example("cen-lite2")
    pads = [node for node in exported.graph.nodes if is_call(node, aten.pad.default)]
    graph_module, _ = rewritten(exported, inputs)
    targets = [node.target for node in graph_module.graph.nodes]
    assert len(pads) == 5 and not {aten.pad.default, aten.repeat.default} & set(targets)


@pytest.mark.parametrize(("name", "branch"), [("cen-light18", "rgb"), ("cen-pspnet101", "depth")])
def test_a_branch_runs_one_decoder(name, branch):
    module, inputs, exported = example(name, branch=branch)
    graph_module, _ = rewritten(exported, inputs)
    check_logits(module, inputs, graph_module)

    both, _ = rewritten(example(name)[2], inputs)
    alone, together = layer_flops(graph_module), layer_flops(both)
    shares = {layer: alone[layer] / flops for layer, flops in together.items() if ".decoder." in layer}
    # The last layers run once in either case.
    assert set(shares.values()) == {0.5, 1.0} and list(shares.values()).count(1.0) <= 3


def test_labels_of_the_whole_frame_with_another_size_of_the_network():
    each = frame("cen-light18", size=(64, 96), confidence=True)
    inputs = tensors(each)
    graph_module, _ = rewritten(export(each, inputs), inputs)
    with torch.no_grad():
        for actual, expected in zip(graph_module(*inputs), each(*inputs), strict=True):
            assert actual.dtype == torch.uint8 and actual.shape == (96, 128)
            assert (actual.int() - expected.int()).abs().float().mean() < 1e-3


def test_counted_work_is_that_of_the_network():
    """Against PyTorch's counter, as it is exported; once it is rewritten, nothing is left to exchange."""
    module, inputs, exported = example("cen")
    images = {"rgb": torch.zeros(1, 3, 96, 128), "depth": torch.zeros(1, 1, 96, 128)}
    assert work(exported).flops == measure_cost(module.frame.model, images).flops

    graph_module, steps = rewritten(exported, inputs)
    assert work(graph_module) == steps[-1].after
    targets = [node.target for node in graph_module.graph.nodes]
    assert not {*NORMS, aten.repeat.default, aten.where.self} & set(targets)


def test_replaced_channels_are_not_computed():
    """Of every bottleneck's 3×3 convolution, exactly the channels that are kept are computed, and the 1×1 follows."""
    module, inputs, exported = example("cen")
    before = layer_flops(exported)
    graph_module, _ = rewritten(exported, inputs, ["constants", "unstack", "norms", "exchanged"])
    after = layer_flops(graph_module)
    model = module.frame.model
    names = {id(layer): name for name, layer in model.named_modules()}
    for norm in exchange_norms(model):
        conv = "frame.model." + names[id(norm)].replace("bn2", "conv2") + ".weight"
        kept = 1 - norm.replaced().float().mean().item()
        assert kept < 0.9
        assert after[conv] / before[conv] == pytest.approx(kept, abs=1e-6)


def test_an_exchange_that_replaces_nothing_leaves_no_trace():
    """After depth-wise convolutions exchanges stay otherwise: of one modality's only where it replaces something."""
    model = network("cen-lite2")
    layers = list(exchange_norms(model))
    for norm in (single for layer in layers[1:] for single in layer.norms):
        norm.weight.data.fill_(0.5)
    layers[0].norms[1].weight.data.fill_(0.5)
    each = Frame(model, FrameConfig((96, 128), (96, 128)))
    inputs, module = tensors(each), Logits(each)
    graph_module, _ = rewritten(export(module, inputs), inputs)
    check_logits(module, inputs, graph_module)
    assert [node.target for node in graph_module.graph.nodes].count(aten.where.self) == 1


def test_channels_in_common_pass_the_next_filters_once():
    """Where everything in scope is exchanged, both modalities feed the next convolution the same, and it runs once."""
    model = network("cen")
    for norm in exchange_norms(model):
        for single, scope in zip(norm.norms, norm.scope_MC, strict=True):
            single.weight.data[scope] = 1e-3
    each = Frame(model, FrameConfig((96, 128), (96, 128)))
    inputs, module = tensors(each), Logits(each)
    exported = export(module, inputs)
    apart, _ = rewritten(exported, inputs, ["constants", "unstack", "norms", "exchanged"])
    graph_module, _ = rewritten(exported, inputs, ["constants", "unstack", "norms", "exchanged", "common"])
    check_logits(module, inputs, graph_module)
    layer = "frame.model.encoder.stages.3.layer4.1.conv3.weight"  # 128 channels wide here
    assert layer_flops(graph_module)[layer] * 2 == layer_flops(apart)[layer]


def test_of_channels_in_common_none_is_filtered_twice():
    module, inputs, exported = example("cen-light18")
    before = ["constants", "unstack", "norms", "exchanged"]
    apart, together = (layer_flops(rewritten(exported, inputs, each)[0]) for each in (before, [*before, "common"]))
    model, shared = module.frame.model, 0
    names = {id(layer): name for name, layer in model.named_modules()}
    for norm in exchange_norms(model):
        name = names[id(norm)]
        if not name.endswith("bn1"):
            continue
        replaced = norm.replaced()
        common, channels = (replaced[0] ^ replaced[1]).sum().item(), replaced.shape[1]
        worthwhile = 9 * common >= 128
        shared += worthwhile
        layer = f"frame.model.{name}".replace("bn1", "conv2") + ".weight"
        expected = 1 - common / (2 * channels) if worthwhile else 1
        assert together[layer] / apart[layer] == pytest.approx(expected, abs=1e-6)
    assert shared == 2


def test_depth_repeated_to_three_channels_enters_as_one():
    module, inputs, exported = example("cen-light18")
    graph_module, _ = rewritten(exported, inputs, ["constants", "unstack", "stem"])
    check_logits(module, inputs, graph_module)
    stems = [
        node.args[1].meta["val"].shape[1]
        for node in graph_module.graph.nodes
        if is_call(node, aten.conv2d.default) and node.args[1].meta["val"].shape[-1] == 7
    ]
    assert sorted(stems) == [1, 3]


def test_pyramid_pooling_is_a_product_with_constant_matrices():
    """15×20 and the like are no multiples of the bins 3 and 6, where a backend's pooling may go wrong."""
    module, inputs, exported = example("cen-pspnet101", sensor=(120, 160))
    graph_module, _ = rewritten(exported, inputs, ["matrices"])
    check_logits(module, inputs, graph_module)
    pools = [node for node in graph_module.graph.nodes if is_call(node, aten.adaptive_avg_pool2d.default)]
    assert all(15 % node.args[1][0] == 0 and 20 % node.args[1][1] == 0 for node in pools)
    assert len(pools) == 1


def test_pools_over_squares_go_along_rows_and_columns():
    pools = nn.Sequential(
        *(nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(5, 1, 2), nn.MaxPool2d((3, 5), 1, (1, 2))),
        *(nn.MaxPool2d(3, 1), nn.MaxPool2d(2), nn.MaxPool2d(3, 1, 1, 2), nn.MaxPool2d(2, 1, ceil_mode=True)),
    )
    x = torch.randn(2, 3, 31, 36)
    graph_module, _ = rewritten(export(pools, [x]), [x], ["pools"])
    assert torch.equal(graph_module(x), pools(x))
    calls = [node.args[1] for node in graph_module.graph.nodes if is_call(node, aten.max_pool2d.default)]
    assert calls == [[3, 3], [1, 5], [5, 1], [3, 5], [1, 3], [3, 1], [2, 2], [3, 3], [2, 2]]


@pytest.mark.parametrize("margins", [(0, 1, 0, 1), (1, 2, 0, 3), (2, 0, 1, 1), (1, 1, 1, 1)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 4])
def test_a_convolution_pads_for_itself(margins, stride, groups):
    padded = nn.Sequential(nn.ZeroPad2d(margins), nn.Conv2d(4, 8, (3, 5), stride, groups=groups))
    x = torch.randn(2, 4, 14, 17)
    graph_module, _ = rewritten(export(padded, [x]), [x], ["padding"])
    with torch.no_grad():
        torch.testing.assert_close(graph_module(x), padded(x))
    assert {str(node.target) for node in graph_module.graph.nodes if node.op == "call_function"} == {
        "aten.conv2d.default"
    }


@pytest.mark.parametrize("pad", [nn.ReflectionPad2d(1), nn.ConstantPad2d(1, 2.0), nn.ZeroPad2d((-1, 1, 0, 0))])
def test_other_padding_is_left_as_it_is(pad):
    x = torch.randn(1, 4, 8, 8)
    module = nn.Sequential(pad, nn.Conv2d(4, 4, 3))
    exported = export(module, [x])
    graph_module, _ = rewritten(exported, [x], ["padding"])
    assert str(graph_module.graph) == str(exported.graph)


@pytest.mark.parametrize("size", [(8, 16), (7, 13), (5, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_winograd_filtering_is_the_convolution(size, bias):
    torch.manual_seed(0)
    conv = nn.Conv2d(40, 48, 3, padding=1, bias=bias)
    x = torch.randn(2, 40, *size)
    graph_module, (step,) = rewritten(export(conv, [x]), [x], ["winograd"])
    expected = F.conv2d(x.double(), conv.weight.double(), None if conv.bias is None else conv.bias.double(), padding=1)
    with torch.no_grad():
        assert (graph_module(x) - expected).abs().max() < 1e-5 * expected.abs().max()
    if size[1] % 4 == 0:
        assert step.after.flops * 2 == step.before.flops


@pytest.mark.parametrize(
    "conv", [nn.Conv2d(40, 48, 3), nn.Conv2d(40, 48, 3, 2, 1), nn.Conv2d(40, 40, 3, padding=1, groups=40)]
)
def test_other_convolutions_are_left_to_the_backend(conv):
    x = torch.randn(1, 40, 8, 8)
    _, (step,) = rewritten(export(conv, [x]), [x], ["winograd"])
    assert step.after == step.before


def test_a_network_that_never_learned_to_exchange_is_told():
    model = network("cen-light18")
    for norm in exchange_norms(model):
        for single in norm.norms:
            single.weight.data.fill_(0.5)
    assert "never learned to exchange" in rewriting_report.pruning(model, {}, {})
    assert "does not exchange" in rewriting_report.pruning(network("rgb"), {}, {})


def test_the_pruning_report_names_every_layer_and_what_was_saved():
    each = frame("cen-light18")
    graph_module = export(each, tensors(each))
    before = layer_flops(graph_module)
    simplify(graph_module, tensors(each), [one for one in PASSES if one != "winograd"])
    lines = rewriting_report.pruning(each.model, before, layer_flops(graph_module)).splitlines()
    assert len(lines) == 2 + sum(1 for _ in exchange_norms(each.model))
    assert lines[0].startswith("33% of the channels in scope")
    name, *_, flops_before, _, flops_after = lines[2].split()
    assert f"model.{name}.weight" in before
    assert 0 < float(flops_after) < float(flops_before)


def test_an_unknown_pass_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean winograd"):
        simplify(export(nn.Conv2d(1, 1, 1), [torch.zeros(1, 1, 2, 2)]), [torch.zeros(1, 1, 2, 2)], ["winogrd"])
