# SPDX-License-Identifier: Apache-2.0
"""Every command that the README, the documents and the comments of configurations name exists, with its options."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from cen_model.cli.cen import main
from cen_model.cli.models import as_yaml
from cen_model.registry import REGISTRY
from helpers.paths import CONFIG, REPOSITORY

DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
COMMENTED = sorted(CONFIG.rglob("*.yaml"))
START = re.compile(r"^make |(?<!\S)(?:cen |python3? -m |torchrun |ros2 (?:run|launch) )")


def code_of_document(text: str) -> list[str]:
    """Lines of shell blocks, and what stands between backticks elsewhere, each in one line."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return lines + [" ".join(each.split()) for each in re.findall(r"`([^`]+)`", prose)]


def code_of_comments(text: str) -> list[str]:
    """Indented lines of comments, and what stands between backticks in them."""
    comments = [line.partition("#")[2] for line in text.splitlines() if line.lstrip().startswith("#")]
    return [line for line in comments if line.startswith("   ")] + re.findall(r"`([^`]+)`", "\n".join(comments))


def commands() -> list[str]:
    """Every command, from its program on, without what the shell adds."""
    code = [each for path in DOCUMENTS for each in code_of_document(path.read_text(encoding="utf-8"))]
    code += [each for path in COMMENTED for each in code_of_comments(path.read_text(encoding="utf-8"))]
    starts = [(each, START.search(each)) for each in code]
    found = [each[start.start() :] for each, start in starts if start]
    return sorted({re.split(r"\s+[>#|]\s*|\s+&&", each)[0] for each in found})


COMMANDS = commands()
OURS = re.compile(r"-m (cen_(?:model|ros)\S*)")


def test_commands_are_found():
    programs = [command.split()[0] for command in COMMANDS]
    assert {"cen", "python", "torchrun", "ros2", "make"} <= set(programs) and programs.count("cen") > 30


@pytest.mark.parametrize("command", [each for each in COMMANDS if OURS.search(each)])
def test_modules_are_programs(command):
    path = REPOSITORY / OURS.search(command)[1].replace(".", "/")
    path = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    guards = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.If)]
    assert ast.unparse(guards[-1].test) == "__name__ == '__main__'"


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.startswith(("ros2 ", "make "))])
def test_programs_are_there(command):
    program, *words = command.split()
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert words[0] in targets
        return
    verb, package, name = words[:3]
    scripts = re.findall(r'"(\w+) = cen_\w+[.\w]*:main"', (REPOSITORY / "setup.py").read_text(encoding="utf-8"))
    there = {"run": scripts, "launch": [path.name for path in (REPOSITORY / "launch").iterdir()]}[verb]
    assert package == "cen_ros" and name in there


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.startswith("cen ") and "…" not in each])
def test_the_command_line_takes_its_options(command, tmp_path, monkeypatch, capsys):
    """Help ends a command before it begins, but not before everything that stands before has been read."""
    monkeypatch.chdir(tmp_path)
    Path("light.yaml").write_text(
        as_yaml(REGISTRY["cen-light18"]), encoding="utf-8"
    )  # as a line of the README makes it
    status = 0
    try:
        status = main([*shlex.split(command)[1:], "--help"])
    except SystemExit as ended:
        status = ended.code
    assert status == 0, capsys.readouterr().err
