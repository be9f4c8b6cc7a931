# SPDX-License-Identifier: Apache-2.0
"""The code that an engine is made by, as a hash: it changes with what the code does, not with how the code is written.

Comments, docstrings and formatting do not count. Names of modules do, for they say which code an import means.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from cen_model.deploy.program import program
from cen_model.models import build as build_network

_PACKAGE = __name__.partition(".")[0]
_NOT_RUN_BY_AN_IMPORT = ("TYPE_CHECKING", "__name__ == '__main__'")


@cache
def engine_code(compiler: Callable[..., Any], root: Path | None = None) -> str:
    """Return the hash of the code that builds a network, exports and rewrites its graph, and compiles the program.

    This code is the modules of this package that define `cen_model.models.build`, `cen_model.deploy.program.program`
    and the compiler, and all modules of this package that these import, at any depth. Their sources are read, and
    nothing is imported. Of libraries the versions have to stand beside the hash.

    Args:
        compiler: a backend's `build`.
        root: the folder that the package is in; None takes the package that is running.
    """
    root = root or Path(str(files(_PACKAGE))).parent
    hashes: dict[str, str] = {}
    waiting = {each.__module__ for each in (build_network, program, compiler) if _is_ours(each.__module__)}
    while waiting:
        name = waiting.pop()
        tree = _normalized(_file(root, name).read_bytes())
        hashes[name] = sha256(ast.dump(tree).encode()).hexdigest()
        waiting.update(set(_imports(tree, root)) - hashes.keys())
    return sha256(repr(sorted(hashes.items())).encode()).hexdigest()


def _normalized(source: bytes) -> ast.Module:
    """Return what runs when a module is imported and used."""
    tree = ast.parse(source)
    tree.body = [each for each in tree.body if not _is_guarded(each)]
    for node in _statements(tree):
        if hasattr(node, "body"):
            node.body = [each for each in node.body if not _is_docstring(each)]
    return tree


def _is_guarded(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and ast.unparse(statement.test) in _NOT_RUN_BY_AN_IMPORT


def _is_docstring(statement: ast.stmt) -> bool:
    """Whether a statement is a text and nothing else: it documents a function, a class, or the name before it."""
    value = getattr(statement, "value", None)
    return isinstance(statement, ast.Expr) and isinstance(value, ast.Constant) and isinstance(value.value, str)


def _imports(tree: ast.Module, root: Path) -> Iterator[str]:
    """Yield the names of this package's modules that a module imports, in its functions too."""
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom) and _is_ours(node.module):
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if _file(root, name).is_file() else node.module for name in names)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and all statements in it; `ast.walk` would spend its time on their expressions."""
    yield node
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        for each in getattr(node, block, ()):
            yield from _statements(each)


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == _PACKAGE


def _file(root: Path, module: str) -> Path:
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
