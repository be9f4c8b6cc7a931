# SPDX-License-Identifier: Apache-2.0
"""The package as it is shipped: metadata, declared dependencies, pinned versions, and what an installation holds."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from runpy import run_path
from typing import Any
from zipfile import ZipFile

import pytest
from catkin_pkg.package import Package, parse_package
from packaging.requirements import Requirement

from helpers.paths import REPOSITORY

OURS = {"cen_ros", "cen_model"}

# Imported name -> (distribution on the package index, rosdep key or None where there is none).
PYTHON = {
    "PIL": ("pillow", "python3-pil"),
    "apsw": ("apsw", None),
    "backports": ("backports.zstd", None),
    "catkin_pkg": ("catkin-pkg", "python3-catkin-pkg-modules"),
    "cv2": ("opencv-python-headless", "python3-opencv"),
    "embreex": ("embreex", None),
    "filelock": ("filelock", "python3-filelock"),
    "h5py": ("h5py", "python3-h5py"),
    "jinja2": ("jinja2", "python3-jinja2"),
    "jsonargparse": ("jsonargparse", None),
    "lightning": ("lightning", None),
    "lz4": ("lz4", "python3-lz4"),
    "matplotlib": ("matplotlib", "python3-matplotlib"),
    "numpy": ("numpy", "python3-numpy"),
    "onnxruntime": ("onnxruntime", None),
    "openvino": ("openvino", None),
    "pytest": ("pytest", "python3-pytest"),
    "rich": ("rich", "python3-rich"),
    "rosbags": ("rosbags", None),
    "safetensors": ("safetensors", None),
    "scipy": ("scipy", "python3-scipy"),
    "setuptools": ("setuptools", "python3-setuptools"),
    "tensorboard": ("tensorboard", "python3-tensorboard-pip"),
    "tensorrt": ("tensorrt-rtx", None),
    "timm": ("timm", None),
    "torch": ("torch", "python3-pytorch-pip"),
    "torch_fidelity": ("torch-fidelity", None),
    "torch_tensorrt": ("torch-tensorrt", None),
    "torchmetrics": ("torchmetrics", None),
    "torchvision": ("torchvision", "python3-pytorch-pip"),
    "trimesh": ("trimesh", "python3-trimesh-pip"),
    "yaml": ("pyyaml", "python3-yaml"),
}
# Come with pytest and with jinja2.
BROUGHT = {"packaging", "markupsafe"}


@pytest.fixture(scope="module")
def manifest() -> Package:
    return parse_package(str(REPOSITORY))


@pytest.fixture(scope="module")
def arguments() -> dict[str, Any]:
    """What setup.py hands to setup()."""
    given: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        patch.setattr("setuptools.setup", given.update)
        run_path("setup.py")
    return given


def third_party_imports(*folders: str) -> set[str]:
    """Top names of what is imported in the folders and is neither ours nor Python's."""
    files = [path for folder in folders for path in (REPOSITORY / folder).rglob("*.py")]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    ours = OURS | {"helpers"}
    return {name.partition(".")[0] for name in names} - ours - sys.stdlib_module_names - BROUGHT


def pip_requirements(arguments: dict[str, Any]) -> Iterator[Requirement]:
    lines = [
        *arguments["install_requires"],
        *(line for extra in arguments["extras_require"].values() for line in extra),
    ]
    return map(Requirement, lines)


def test_manifest_is_valid(manifest):
    warnings: list[str] = []
    manifest.validate(warnings)
    assert not warnings
    assert manifest.package_format == 3
    assert manifest.get_build_type() == "ament_python"


def test_manifest_and_setup_agree(manifest, arguments):
    (maintainer,) = manifest.maintainers
    agreed = {
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "license": ", ".join(manifest.licenses),
        "maintainer": maintainer.name,
        "maintainer_email": maintainer.email,
    }
    assert agreed.items() <= arguments.items()
    assert "Apache License" in (REPOSITORY / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.parametrize("folders", [("cen_ros", "cen_model", "launch"), ("test",)], ids=["package", "tests"])
def test_every_import_is_declared_to_ros(manifest, folders):
    declared = {each.name for each in manifest.exec_depends}
    if folders == ("test",):
        declared |= {each.name for each in manifest.test_depends}
    needed = {PYTHON[name][1] if name in PYTHON else name for name in third_party_imports(*folders)} - {None}
    assert needed <= declared, "package.xml lacks dependencies"


def test_every_python_import_is_declared_to_pip(arguments):
    declared = {requirement.name for requirement in pip_requirements(arguments)}
    needed = {
        PYTHON[name][0] for name in third_party_imports("cen_ros", "cen_model", "launch", "test") if name in PYTHON
    }
    assert needed <= declared, "setup.py lacks requirements"


def test_core_leaves_the_distributions_cv2_alone(arguments):
    """Beside ROS, pip may install the core, training and simulation: none of them brings another cv2."""
    lines = [*arguments["install_requires"], *arguments["extras_require"]["train"], *arguments["extras_require"]["sim"]]
    assert not [line for line in lines if line.startswith("opencv")]


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12"])
def test_every_requirement_is_pinned_once(arguments, python):
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    pinned = [pin.name for pin in pins if pin.marker is None or pin.marker.evaluate({"python_version": python})]
    assert len(pinned) == len(set(pinned))
    assert all(str(pin.specifier).startswith("==") for pin in pins)
    assert {requirement.name for requirement in pip_requirements(arguments)} <= set(pinned)


def test_console_scripts_lead_to_functions(arguments):
    for line in arguments["entry_points"]["console_scripts"]:
        module, function = line.partition("=")[2].strip().split(":")
        path = REPOSITORY / module.replace(".", "/")
        tree = ast.parse(path.with_suffix(".py").read_text(encoding="utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, line


@pytest.fixture(scope="module")
def source_copy(tmp_path_factory) -> Path:
    """A copy of what a build reads: building in place would leave build/ and *.egg-info in the repository."""
    copy = tmp_path_factory.mktemp("source")
    ignore = shutil.ignore_patterns(".*", "__pycache__", "build", "install", "log", "demo", "runs", "*.egg-info")
    shutil.copytree(REPOSITORY, copy, dirs_exist_ok=True, ignore=ignore)
    return copy


def run(*command: str | Path, cwd: Path) -> None:
    done = subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def shared_files() -> set[str]:
    """What has to lie below share/cen_ros, seen from the source tree."""
    found = [
        *(REPOSITORY / "launch").glob("*.launch.py"),
        *(path for path in (REPOSITORY / "config").rglob("*") if path.is_file()),
    ]
    assert {path.suffix for path in found} >= {".py", ".yaml", ".xml", ".rviz", ".json"}
    return {path.relative_to(REPOSITORY).as_posix() for path in found} | {"package.xml"}


def test_wheel_is_complete(source_copy, tmp_path):
    pytest.importorskip("pip", reason="pip is missing: python -m ensurepip")
    pytest.importorskip("setuptools.command.bdist_wheel", reason="setuptools before 70.1 builds no wheels by itself")
    weights = source_copy / "cen_model" / "weights" / "probe.safetensors"
    weights.parent.mkdir(exist_ok=True)
    weights.write_bytes(b"")
    weights.with_suffix(".md").write_text("")
    run("-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, cwd=source_copy)
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    data = {name.partition(".data/data/share/")[2] for name in names}
    modules = {
        path.relative_to(REPOSITORY).as_posix() for folder in OURS for path in (REPOSITORY / folder).rglob("*.py")
    }
    assert {f"cen_ros/{name}" for name in shared_files()} <= data
    assert "ament_index/resource_index/packages/cen_ros" in data
    assert modules | {"cen_model/weights/probe.safetensors", "cen_model/weights/probe.md"} <= names
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name and ".data" not in name} == OURS


def test_colcon_puts_everything_where_ros_looks(source_copy, tmp_path, arguments):
    """Installed the way colcon does it, with install_scripts of setup.cfg, every script lands in lib/cen_ros."""
    config = ConfigParser(interpolation=None)
    config.read(REPOSITORY / "setup.cfg")
    where = ["--prefix", tmp_path, "--install-scripts", config["install"]["install_scripts"]]
    how = ["--single-version-externally-managed", "--record", tmp_path / "record"]
    run("setup.py", "install", *where, *how, cwd=source_copy)
    scripts = {path.name for path in (tmp_path / "lib" / "cen_ros").iterdir() if os.access(path, os.X_OK)}
    assert scripts == {line.partition("=")[0].strip() for line in arguments["entry_points"]["console_scripts"]}
    assert all((tmp_path / "share" / "cen_ros" / name).is_file() for name in shared_files())
    assert (tmp_path / "share" / "ament_index" / "resource_index" / "packages" / "cen_ros").is_file()
    assert_it_works_where_it_is_installed(tmp_path)


def assert_it_works_where_it_is_installed(prefix: Path) -> None:
    """The program `cen` reads a configuration from share/cen_ros, by the name that the README gives it."""
    (package,) = (path.parent for path in prefix.rglob("cen_model/__init__.py"))
    shared = prefix / "share" / "cen_ros" / "config" / "train" / "nyudv2.yaml"
    shared.write_text("seed: 1234\n")
    command = [sys.executable, prefix / "lib" / "cen_ros" / "cen", *("train", "config/train/nyudv2.yaml")]
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    printed = subprocess.run([*command, "--print_config"], cwd=prefix, env=environment, capture_output=True, text=True)
    assert "seed: 1234" in printed.stdout, printed.stderr
