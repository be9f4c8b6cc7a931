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
# What a model file may use besides the others: configurations, the names of the classes, and checks of names.
BELOW_MODELS = {"cen_model.config", "cen_model.classes", "cen_model.utils.validation"}
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


MODEL_FILES = {name for name in SOURCES if name.startswith("cen_model.nn.")} | {
    f"cen_model.{name}" for name in ("modalities", "registry", "models")
}
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


@pytest.mark.parametrize("module", sorted(MODEL_FILES))
def test_model_files_use_only_model_files(module):
    assert GRAPH[module] <= MODEL_FILES | BELOW_MODELS


def test_exchange_is_below_all_other_model_files():
    below = {"cen_model.nn.modal", "cen_model.nn.policies"}
    assert GRAPH["cen_model.nn.exchange"] <= BELOW_MODELS | below
    assert all(GRAPH[module] <= BELOW_MODELS for module in below)


def test_decoders_and_encoders_do_not_know_the_assembly():
    for module in MODEL_FILES - {"cen_model.models"}:
        assert "cen_model.models" not in GRAPH[module], module


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
    ["cen_model", "cen_model.classes", "cen_model.cli.cen", "cen_model.depth", "cen_model.scenes.scene_dataset"]
    + ["cen_ros.messages.images"],
)
def test_import_without_torch(module):
    if module == "cen_model.scenes.scene_dataset":
        pytest.importorskip("trimesh", reason="scenes need trimesh: pip install '.[sim]'")
    code = f"import sys, {module}; sys.exit('PyTorch was imported' if 'torch' in sys.modules else 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == ""
