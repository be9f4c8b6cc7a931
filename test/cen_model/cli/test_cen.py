# SPDX-License-Identifier: Apache-2.0
"""The program `cen`: what it says of itself, what it runs, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

import pytest

from cen_model.cli.cen import COMMANDS, main


def test_help_is_one_screen_and_names_every_command_once(capsys):
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 100
    for command in COMMANDS:
        assert sum(line.startswith(f"  {command} ") for line in lines) == 1
    assert sum(line.startswith("  cen ") for line in lines) == 2
    assert main([]) == 2
    assert capsys.readouterr().err.splitlines() == lines


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_how_it_is_used(command, capsys):
    with suppress(SystemExit):
        assert main([command, "--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: cen {command}") and f" cen {command} " in said.partition("example")[2]


def test_an_unknown_command_brings_the_nearest(capsys):
    assert main(["trian", "--dry-run"]) == 2
    assert capsys.readouterr().err == "cen: command 'trian' is unknown; did you mean train?\n"


def test_a_mistake_is_told_in_one_line(capsys):
    assert main(["evaluate", "nowhere.safetensors"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("cen evaluate: weights 'nowhere.safetensors': no such file") and said.count("\n") == 1


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.split()[0] == "cen"


def test_the_program_answers_before_pytorch_is_imported():
    code = "import sys; from cen_model.cli.cen import main; main(['--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.parametrize(
    ("module", "usage"),
    [
        ("cen_model.cli", "usage: cen COMMAND"),
        ("cen_model.train", "usage: cen train"),
        ("cen_model.evaluate", "usage: cen evaluate"),
        ("cen_model.deploy", "usage: cen deploy"),
    ],
)
def test_programs_of_python_are_the_same_commands(module, usage):
    done = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(usage)


def test_import_is_a_program_of_python_too():
    command = [sys.executable, "-m", "cen_model.checkpoint", "import", "--help"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("usage: cen import")
