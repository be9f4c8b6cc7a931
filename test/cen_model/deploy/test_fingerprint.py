# SPDX-License-Identifier: Apache-2.0
"""What makes an engine another engine: the code that makes the graph, libraries and weights; and what does not."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision

import cen_model
from cen_model.deploy.backends.selection import BACKENDS, Target
from cen_model.deploy.build import build_engine
from cen_model.deploy.cache import EngineCache
from cen_model.deploy.fingerprint import engine_code
from cen_model.deploy.frame import Frame, FrameConfig
from cen_model.deploy.graph import export
from cen_model.deploy.precision import cast
from cen_model.deploy.program import program
from cen_model.deploy.simplify import PASSES
from cen_model.models import build
from cen_model.nn.exchange import ExchangeNorm
from helpers.deployed import network

PACKAGE = Path(cen_model.__file__).parent
EAGER = BACKENDS["eager"].build
MAKERS = [ExchangeNorm, build, Frame, export, program, cast, EAGER]
IMPORTED = f"""
import sys, {", ".join(sorted({each.__module__ for each in (build, program, EAGER)}))}
print(*(name for name, module in sys.modules.items() if name.startswith("cen_model.")))
"""


@pytest.fixture
def sources(tmp_path):
    """A folder with a copy of the package's sources."""
    shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("weights", "__pycache__"))
    return tmp_path


def file_of(root, module):
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def add_statement(path, name=None):
    """Let a module, or the function or class of that name in it, do one thing more."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    (place,) = [tree] if name is None else [each for each in tree.body if getattr(each, "name", None) == name]
    place.body.append(ast.parse("one_more = 1").body[0])
    path.write_text(ast.unparse(tree), encoding="utf-8")


def test_a_copy_of_the_sources_has_their_hash(sources):
    assert all(engine_code(each.build, sources) == engine_code(each.build) for each in BACKENDS.values())
    assert len({engine_code(each.build) for each in BACKENDS.values()}) == len(BACKENDS)


def test_how_code_is_written_changes_nothing(sources):
    """Every module of the package gets other docstrings, comments, quotes and line breaks."""
    for path in sources.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in [each for each in ast.walk(tree) if isinstance(each, ast.Module | ast.ClassDef | ast.FunctionDef)]:
            documented = ast.get_docstring(node) is not None
            node.body[:documented] = [ast.Expr(ast.Constant("Another text."))]
        path.write_text(f"# A comment\n\n{ast.unparse(tree)}  # and another\n\n", encoding="utf-8")
    assert all(engine_code(each.build, sources) == engine_code(each.build) for each in BACKENDS.values())


@pytest.mark.parametrize("maker", [*PASSES.values(), *MAKERS], ids=lambda maker: maker.__name__)
def test_a_statement_of_what_makes_the_graph_changes_it(sources, maker):
    add_statement(file_of(sources, maker.__module__), maker.__name__)
    assert engine_code(EAGER, sources) != engine_code(EAGER)


def test_what_python_imports_to_make_a_graph_changes_it_and_nothing_else(sources):
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED], cwd=PACKAGE.parent, capture_output=True, text=True, check=True
    )
    imported = {file_of(sources, name) for name in done.stdout.split()}
    packages = set(sources.rglob("__init__.py"))  # only hold what lies in them
    others = set(sources.rglob("*.py")) - imported - packages
    assert {"html.py", "train.py", "predictor.py", "cache.py", "rewriting_report.py"} <= {path.name for path in others}
    for path in others:
        add_statement(path)
    before = engine_code(EAGER)
    assert engine_code(EAGER, sources) == before
    for path in imported - packages:
        kept = path.read_bytes()
        add_statement(path)
        engine_code.cache_clear()
        assert engine_code(EAGER, sources) != before, path
        path.write_bytes(kept)


def test_what_only_a_type_checker_or_a_command_runs_changes_nothing(sources):
    path = file_of(sources, program.__module__)
    guarded = "\nif TYPE_CHECKING:\n    import cen_model.nowhere\nif __name__ == '__main__':\n    print('started')\n"
    path.write_text(path.read_text(encoding="utf-8") + guarded, encoding="utf-8")
    assert engine_code(EAGER, sources) == engine_code(EAGER)


class FoundError(Exception):
    """The folder of the engine that was asked for."""


class Asked(EngineCache):
    """Tells in which folder an engine would be, without building it."""

    def get(self, parts, build):
        raise FoundError(super().get(parts, lambda folder: (folder / "engine").touch()))


@pytest.fixture(scope="module")
def model():
    return network("cen-light18")


@pytest.fixture
def folder(model, tmp_path):
    """Tells the folder of the network's engine with a backend, as things are at the moment."""

    def find(backend="eager"):
        target = Target(backend, torch.device("cpu"), "fp32", "as asked for")
        with pytest.raises(FoundError) as found:
            build_engine(Frame(model, FrameConfig((64, 96), (64, 96))), target, Asked(tmp_path / "engines"))
        return found.value.args[0]

    return find


@pytest.mark.parametrize(
    ("library", "name"), [(torch, "__version__"), (torchvision, "__version__"), (torch.version, "cuda")]
)
def test_another_version_of_a_library_is_another_engine(folder, monkeypatch, library, name):
    before = folder()
    assert folder() == before
    monkeypatch.setattr(library, name, "99.0")
    assert folder() != before


LIBRARIES = {"onnx": "onnx", "onnxscript": "onnx", "onnxruntime": "onnx", "openvino": "openvino"}


@pytest.mark.parametrize("library", LIBRARIES)
def test_another_version_of_a_backends_library_is_another_engine(folder, monkeypatch, tmp_path, library):
    def install(name, version):
        """As pip does, in a folder of its own: what is installed really stays behind it."""
        site = tmp_path / f"{name}-{version}"
        metadata = site / f"{name}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        monkeypatch.syspath_prepend(site)

    for each in LIBRARIES:
        install(each, "1.0")
    before, eager = folder(LIBRARIES[library]), folder()
    install(library, "1.1")
    assert folder(LIBRARIES[library]) != before and folder() == eager


def test_the_last_bit_of_a_weight_is_another_engine(folder, model):
    before = folder()
    for weight in (next(model.parameters()), next(model.buffers())):
        first = weight.detach().view(-1)[:1]
        kept = first.clone()
        first.copy_(torch.nextafter(first, torch.tensor(torch.inf)))
        assert folder() != before
        first.copy_(kept)
    assert folder() == before
