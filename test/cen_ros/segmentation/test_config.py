# SPDX-License-Identifier: Apache-2.0
"""The files in config/: what ROS makes of the parameter files, and that layouts show what the node publishes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.paths import CONFIG

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cen_ros[ros]'")
import rclpy

from cen_model.classes import NYU13, NYU40
from cen_model.label_groups import read_groups
from cen_ros.classes import KIMERA_LABELS, class_ids, read_classes
from cen_ros.segmentation import parameters, settings

PRESETS = ("nav2", "hydra", "nvblox", "kimera")
NODE = "/cen_segmentation/"


def given(path: Path) -> dict[str, Any]:
    """The parameters of a file by their dotted names, read without ROS."""
    (section,) = yaml.safe_load(path.read_text(encoding="utf-8")).items()
    assert section[0] == "/**" and section[1].keys() == {"ros__parameters"}, "they hold in every namespace"
    return dict(flat(section[1]["ros__parameters"]))


def flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


@pytest.fixture
def values(graph, request):
    """What the node's parameters are under the file `request.param`, by the real parser and declarations."""
    context = rclpy.Context()
    arguments = ["--ros-args", "--params-file", str(CONFIG / f"{request.param}.yaml")]
    rclpy.init(args=arguments, context=context, signal_handler_options=rclpy.SignalHandlerOptions.NO)
    node = rclpy.create_node("cen_segmentation", context=context, start_parameter_services=False)
    try:
        parameters.declare(node)
        yield request.param, parameters.values_of(node)
    finally:
        node.destroy_node()
        context.try_shutdown()


@pytest.mark.parametrize("values", ["segment", *PRESETS], indirect=True)
def test_every_key_is_a_parameter_of_the_node_and_has_a_value_that_it_takes(values):
    name, declared = values
    for key, value in given(CONFIG / f"{name}.yaml").items():
        assert key in declared, f"{name}.yaml: no such parameter: {key}"
        assert declared[key] == value
    settings.settings(declared)
    settings.live(declared)


WANTED = {
    "nav2": {
        "label_encoding": "mono8",
        "label_size": "depth",  # the mask and the cloud have to have as many pixels
        "confidence": True,
        "topics.label": "/segmentation/mask",
        "topics.confidence": "/segmentation/confidence",
        "topics.label_info": "/segmentation/label_info",
    },
    "hydra": {
        "label_encoding": "16SC1",
        "label_size": "depth",
        "topics.label": "semantic/image_raw",
        "topics.color": "semantic_color/image_raw",
        "topics.overlay": "semantic_overlay/image_raw",
    },
    "nvblox": {"label_size": "rgb", "topics.mask": "/segmentation/mask"},
    "kimera": {"points_color": "label", "topics.points": "/semantic_pointcloud"},
}


@pytest.mark.parametrize("values", PRESETS, indirect=True)
def test_presets_are_what_their_consumers_want_and_run_with_13_and_40_classes(values):
    name, declared = values
    assert WANTED[name].items() <= declared.items()
    names = settings.live(declared).mask_classes
    assert bool(names) == (name == "nvblox")
    for classes in (read_classes(declared["weights"]), NYU13, NYU40):
        published = published_classes(declared, classes)
        class_ids(names, published)
        assert name != "kimera" or len(published) < KIMERA_LABELS, "one of them is its unknown label"


def published_classes(values: dict[str, Any], classes: tuple[str, ...]) -> tuple[str, ...]:
    """What labels are of, with these parameters and weights that tell `classes`."""
    return read_groups(values["label_groups"], classes).names if values["label_groups"] else classes


@pytest.mark.parametrize("classes", [NYU13, NYU40])
def test_the_costmap_that_nav2_is_shown_knows_every_class(classes):
    text = (CONFIG / "nav2.yaml").read_text(encoding="utf-8")
    shown = yaml.safe_load("\n".join(line[1:] for line in text.splitlines() if re.match(r"#  +[\w ]+:( |$)", line)))
    camera = shown["semantic_segmentation_layer"]["camera"]
    named = [name for kind in camera["class_types"] for name in camera[kind]["classes"]]
    assert sorted(named) == sorted(published_classes(given(CONFIG / "nav2.yaml"), classes))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_say_how_to_use_them_and_what_each_parameter_does(name):
    lines = (CONFIG / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    header = lines[: lines.index("/**:")]
    assert all(line.startswith("#") for line in header)
    assert any(f"params_file:=$(ros2 pkg prefix cen_ros)/share/cen_ros/config/{name}.yaml" in line for line in header)
    keys = [number for number, line in enumerate(lines) if re.match(r"    (?!topics)\w+:", line)]
    assert keys
    for number in keys:
        assert lines[number - 1].startswith("    # "), f"{name}.yaml: nothing explains {lines[number].strip()}"


def published(topic: str) -> bool:
    """Whether the node publishes on it by default."""
    return topic.replace(NODE, "~/") in parameters.TOPICS.values()


def displays(tree: Any, key: str) -> Iterator[dict[str, Any]]:
    """Every mapping below `tree` that has the key."""
    if isinstance(tree, dict):
        if key in tree:
            yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for branch in tree:
            yield from displays(branch, key)


def test_rviz_shows_what_the_node_publishes():
    layout = yaml.safe_load((CONFIG / "segment.rviz").read_text(encoding="utf-8"))
    shown = list(displays(layout, "Topic"))
    seen = {display["Topic"]["Value"].removeprefix(NODE) for display in shown}
    assert seen == {"overlay", "color", "points"}
    for display in shown:
        assert published(display["Topic"]["Value"])
        assert display["Topic"]["Reliability Policy"] == "Best Effort", "fits every publisher"
    clouds = [(d["Color Transformer"], d["Channel Name"]) for d in shown if d["Class"].endswith("/PointCloud2")]
    assert clouds == [("RGB8", "rgb"), ("Intensity", "label")]


def test_foxglove_shows_what_the_node_publishes():
    layout = json.loads((CONFIG / "foxglove.json").read_text(encoding="utf-8"))
    assert layout.keys() == {"configById", "globalVariables", "userNodes", "playbackConfig", "layout"}
    panels = layout["configById"]
    placed = [side for split in displays(layout["layout"], "first") for side in (split["first"], split["second"])]
    assert sorted(side for side in placed if isinstance(side, str)) == sorted(panels)
    assert {panel.partition("!")[0] for panel in panels} == {"3D", "Image", "DiagnosticSummary", "RawMessages"}
    topics = re.findall(r'"(/[\w/]+)"', json.dumps(panels))
    assert len(set(topics)) >= 6
    assert all(published(topic) for topic in topics)
