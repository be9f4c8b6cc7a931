# SPDX-License-Identifier: Apache-2.0
"""Parameters that are given without a value, and changes of which nothing is taken up where a part is refused."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cen_ros[ros]'")
import rclpy
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue, SetParametersResult
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter

from cen_ros.node import SegmentationNode
from cen_ros.segmentation.parameters import PARAMETERS
from cen_ros.tools.synthetic_camera import Camera
from helpers.composed import Reckoned

EMPTY_ARRAYS = [getattr(ParameterType, f"PARAMETER_{kind}_ARRAY") for kind in ("BOOL", "INTEGER", "STRING")]


def call(node, service, name, **fields):
    return node.graph.call(service, f"{node.namespace}/cen_segmentation/{name}", **fields)


def message(parameter, **value):
    return ParameterMessage(name=parameter, value=ParameterValue(**value))


def doubles(**values):
    return [message(name, type=ParameterType.PARAMETER_DOUBLE, double_value=value) for name, value in values.items()]


@pytest.mark.parametrize("make", [SegmentationNode, lambda **options: Camera("camera")], ids=["segmentation", "camera"])
def test_a_parameter_without_a_value_in_a_file_has_its_default(session_graph, tmp_path, make):
    """One file for all nodes, in which every parameter is an empty list."""
    names = [*PARAMETERS, "rate", "subscribers", "loop", "frame_id"]
    lines = "".join(f"    {name}: []\n" for name in names)
    path = tmp_path / "empty.yaml"
    path.write_text(f"/**:\n  ros__parameters:\n{lines}", encoding="utf-8")
    arguments = ["--ros-args", "--params-file", str(path)]
    context = rclpy.Context() if make is SegmentationNode else None
    rclpy.init(args=arguments, context=context, signal_handler_options=rclpy.SignalHandlerOptions.NO)
    try:
        node = make(context=context)
        values = {name: node.get_parameter(name).value for name in names if node.has_parameter(name)}
        node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)
    if make is SegmentationNode:
        assert values == {name: parameter.default for name, parameter in PARAMETERS.items()}
    else:
        assert (values["rate"], values["subscribers"], values["loop"]) == (10.0, 1, True)


def test_a_node_with_parameters_without_values_labels_and_answers(compose):
    node = compose(**dict.fromkeys(("mask_classes", "image_size", "sync_slop", "topics__label")))
    node.ready(node.listen("label"))
    values = call(node, GetParameters, "get_parameters", names=["image_size", "sync_slop"]).values
    assert (list(values[0].integer_array_value), values[1].double_value) == ([480, 640], 0.05)
    (result,) = call(node, SetParameters, "set_parameters", parameters=doubles(overlay_alpha=0.25)).results
    assert result.successful and node.node._pipeline.live.overlay_alpha == 0.25


@pytest.mark.parametrize("kind", EMPTY_ARRAYS)
@pytest.mark.parametrize("name", ["mask_classes", "input_size"])
def test_an_array_that_is_emptied_is_the_default_again(compose, name, kind):
    """`ros2 param set` makes an array of booleans of []."""
    node = compose()
    assert node.set(mask_classes=["bed", "sofa"], input_size=[48, 64]) == []
    (result,) = call(node, SetParameters, "set_parameters", parameters=[message(name, type=kind)]).results
    assert result.successful, result.reason
    assert list(node.node.get_parameter(name).value) == PARAMETERS[name].default
    assert node.node._pipeline.live.mask_classes == (() if name == "mask_classes" else ("bed", "sofa"))


def test_of_a_change_that_is_refused_nothing_is_taken_up(compose):
    node = compose()
    before = node.node._pipeline.live
    kings = message("mask_classes", type=ParameterType.PARAMETER_STRING_ARRAY, string_array_value=["king"])
    changes = [*doubles(sync_slop=0.3, overlay_alpha=0.1), kings]
    refusal = call(node, SetParametersAtomically, "set_parameters_atomically", parameters=changes).result
    assert not refusal.successful and "class 'king' is unknown" in refusal.reason
    assert node.node._pipeline.live == before
    assert node.node.get_parameter("sync_slop").value == 0.05


class OfHumble(SegmentationNode):
    """As rclpy was before it called back after a change."""

    @property
    def add_post_set_parameters_callback(self):
        raise AttributeError


@pytest.mark.parametrize("kind", [SegmentationNode, OfHumble])
def test_a_change_that_another_callback_refuses_is_not_taken_up(graph, kind):
    node = kind(lambda settings: Reckoned(), context=graph.context)
    try:
        graph.run(node.autostart)
        assert node.set_parameters([Parameter("sync_slop", value=0.2)])[0].successful
        assert node._pipeline.live.slop_ns == 200_000_000
        node.add_on_set_parameters_callback(lambda _: SetParametersResult(successful=False, reason="no"))
        assert not node.set_parameters([Parameter("sync_slop", value=0.4)])[0].successful
        assert node._pipeline.live.slop_ns == 200_000_000
    finally:
        graph.run(node.destroy_node)


def test_whatever_fails_while_a_change_is_looked_at_is_said_to_who_asked(compose, monkeypatch):
    node = compose()

    def fail(values):
        raise KeyError("unforeseen")

    monkeypatch.setattr("cen_ros.node.problems", fail)
    (result,) = call(node, SetParameters, "set_parameters", parameters=doubles(sync_slop=0.3)).results
    assert not result.successful and result.reason == "KeyError: 'unforeseen'"
    monkeypatch.undo()
    (result,) = call(node, SetParameters, "set_parameters", parameters=doubles(sync_slop=0.3)).results
    assert result.successful and node.node._pipeline.live.slop_ns == 300_000_000
