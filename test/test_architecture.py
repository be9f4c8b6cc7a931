# SPDX-License-Identifier: Apache-2.0
"""The direction of imports, read off the source: models know nothing of training, cen_model nothing of ROS."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from helpers.paths import REPOSITORY

ROS = {
    "rclpy",
    "rcl_interfaces",
    "launch",
    "launch_ros",
    "cv_bridge",
    "sensor_msgs_py",
    "message_filters",
    "ament_index_python",
}
# The rooms from the ground up: a module imports from its own room and from the lines above it.
LAYERS = (
    ("cen_model.utils",),
    ("cen_model.classes", "cen_model.depth"),
    ("cen_model.config", "cen_model.label_groups", "cen_model.reporting", "cen_model.scenes"),
    ("cen_model.modalities",),
    ("cen_model.nn", "cen_model.published", "cen_model.registry"),
    ("cen_model.models", "cen_model.losses"),
    ("cen_model.checkpoint",),
    ("cen_model.deploy",),
    ("cen_model.predictor",),
    ("cen_model.data",),
    ("cen_model.translator",),
    ("cen_model.evaluation",),
    ("cen_model.training",),
    ("cen_model.analysis", "cen_model.benchmark", "cen_model.experiments"),
    ("cen_model.cli", "cen_model.train", "cen_model.evaluate", "cen_model"),
    ("cen_ros.context", "cen_ros.declaration", "cen_ros.errors", "cen_ros.messages"),
    ("cen_ros.bags", "cen_ros.classes"),
    ("cen_ros.segmentation",),
    ("cen_ros.evaluation", "cen_ros.node"),
    ("cen_ros.build_engines", "cen_ros.evaluate_bag", "cen_ros.tools"),
    ("cen_ros.benchmark", "cen_ros"),
)
LEVELS = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
# Modules that Python runs as programs, which lead to the command line `cen` there and nowhere else.
DOORS = {"cen_model.train", "cen_model.evaluate", "cen_model.deploy.__main__", "cen_model.checkpoint"}


def module_name(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {
    module_name(path): ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    for package in ("cen_model", "cen_ros")
    for path in sorted((REPOSITORY / package).rglob("*.py"))
}


def is_folder(module: str) -> bool:
    return REPOSITORY.joinpath(*module.split(".")).is_dir()


def room_of(module: str) -> str:
    """Return the room that a module is in; passes, backends, formats and tools are in the room around them."""
    package, *names = module.split(".")
    return ".".join([package, *names[:1]])


def without_door(module: str) -> ast.Module:
    """What a module is when it is imported: of a door, all but the part that Python runs as a program."""
    body = [each for each in SOURCES[module].body if module not in DOORS or not isinstance(each, ast.If)]
    return ast.Module(body, type_ignores=[])


def imports(tree: ast.Module) -> Iterator[str]:
    """Dotted names of everything imported, at any depth of the file; of our own modules, the module itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "imports are absolute here, so that this test can follow them"
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in SOURCES else node.module for name in names)


GRAPH = {module: {name for name in imports(without_door(module)) if name in SOURCES} for module in SOURCES}


def reachable(module: str) -> set[str]:
    """Our modules that importing `module` leads to, itself included."""
    seen, waiting = set(), [module]
    while waiting:
        seen.add(waiting.pop())
        waiting.extend(set().union(*(GRAPH[name] for name in seen)) - seen)
    return seen


def test_imports_go_in_one_direction():
    TopologicalSorter(GRAPH).prepare()  # raises CycleError and names the cycle


def test_only_doors_lead_to_the_command_line():
    command_line = {name for name in SOURCES if name.startswith("cen_model.cli")}
    outside = SOURCES.keys() - command_line
    assert {name for name in outside if command_line & set(imports(SOURCES[name]))} == DOORS
    assert not [name for name in outside if command_line & GRAPH[name]]


@pytest.mark.parametrize("module", [name for name in SOURCES if name.startswith("cen_model")])
def test_cen_model_knows_nothing_of_ros(module):
    tops = {name.partition(".")[0] for name in imports(SOURCES[module])}
    assert not {name for name in tops if name in ROS | {"cen_ros"} or name.endswith("_msgs")}


@pytest.mark.parametrize("module", SOURCES)
def test_a_room_imports_only_from_those_below(module):
    room = room_of(module)
    others = {room_of(name) for name in GRAPH[module]} - {room}
    assert not {other for other in others if LEVELS[other] >= LEVELS[room]}


def test_exchange_is_below_all_other_modules_of_the_network():
    network = {name for name in SOURCES if name.startswith("cen_model.nn.")}
    below = {"cen_model.nn.modal", "cen_model.nn.policies"}
    assert GRAPH["cen_model.nn.exchange"] & network == below
    assert not any(GRAPH[module] & network for module in below)


def test_every_folder_says_what_it_holds_and_imports():
    for room in {module for module, tree in SOURCES.items() if is_folder(module)} - {"cen_model", "cen_ros"}:
        assert "The modules here" in ast.get_docstring(SOURCES[room]), room


def test_file_names_are_unique():
    """Commands have the names of what they run, and both packages have class names and doors."""
    names = [
        module.rpartition(".")[2]
        for module in SOURCES
        if not is_folder(module) and room_of(module) not in ("cen_model.cli", "cen_model.train", "cen_model.evaluate")
    ]
    assert {name for name in names if names.count(name) > 1} == {"__main__", "classes"}


@pytest.mark.parametrize("module", ["cen_model.predictor", "cen_ros.node"])
def test_deployment_does_without_training_and_scenes(module):
    third_party = {name.partition(".")[0] for ours in reachable(module) for name in imports(SOURCES[ours])}
    assert not third_party & {"lightning", "torchmetrics", "tensorboard", "trimesh", "embreex"}


WITHOUT_ROS = (
    "messages.images",
    "segmentation.sync",
    "messages.camera_model",
    "tools.camera_frames",
    "segmentation.measures",
    "messages.paint",
    "tools.record_synthetic",
    "segmentation.watch",
)
WITHOUT_ROS += ("evaluate_bag", "bags.reader", "bags.topics", "bags.writer")


@pytest.mark.parametrize("module", [f"cen_ros.{name}" for name in WITHOUT_ROS])
def test_images_and_bags_are_read_without_ros(module):
    tops = {name.partition(".")[0] for ours in reachable(module) for name in imports(SOURCES[ours])}
    assert not {name for name in tops if name in ROS or name.endswith("_msgs")}


DEFINITIONS = (
    ast.Import,
    ast.ImportFrom,
    ast.Assign,
    ast.AnnAssign,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
)
GUARDS = {"TYPE_CHECKING", "__name__ == '__main__'"}


def only_defines(statement: ast.stmt) -> bool:
    """Whether a statement at the top of a file is a definition, a docstring, or one of the two customary guards."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.If):
        return ast.unparse(statement.test) in GUARDS
    return isinstance(statement, DEFINITIONS)


@pytest.mark.parametrize("module", SOURCES)
def test_importing_only_defines_names(module):
    assert ast.get_docstring(SOURCES[module]), f"{module} does not start with a docstring"
    acting = [ast.unparse(each) for each in SOURCES[module].body if not only_defines(each)]
    assert not acting, f"{module} does something when it is imported"


@pytest.mark.parametrize(
    "module",
    [
        *("cen_model", "cen_model.classes", "cen_model.cli.cen", "cen_model.depth", "cen_model.scenes.scene_dataset"),
        *("cen_model.label_groups", "cen_ros.messages.images", "cen_ros.node"),
    ],
)
def test_import_without_torch_and_timm(module):
    if module == "cen_model.scenes.scene_dataset":
        pytest.importorskip("trimesh", reason="scenes need trimesh: pip install '.[sim]'")
    if module == "cen_ros.node":
        pytest.importorskip("rclpy", reason="the node needs ROS: pip install '.[ros]'")
    code = f"import sys, {module}; sys.exit(' and '.join({{'torch', 'timm'}} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == ""
