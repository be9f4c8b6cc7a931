# SPDX-License-Identifier: Apache-2.0
"""The program `cen`: finds the module of a command, and imports no other one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from cen_model.deploy.memory_shortage import shortage
from cen_model.utils.validation import look_up

# Command: (what it does, its module in this folder, whose `main` takes arguments and returns what `sys.exit` takes).
COMMANDS = {
    "train": ("train a network, or continue a run that was interrupted", "train"),
    "evaluate": ("measure a network, or its engine, on a dataset", "evaluate"),
    "calibrate": ("let the confidence of a network be how often it is right", "calibrate"),
    "deploy": ("build the engine of a network ahead of time, and time it", "deploy"),
    "data": ("check, show, prepare or pack a dataset", "data"),
    "models": ("list the networks of the registry with what each of them costs", "models"),
    "weights": ("list the weights that come with the package, or describe a file", "weights"),
    "import": ("turn a published checkpoint into one of ours", "import_published"),
    "experiments": ("train a list of networks within a time budget, and compare them", "experiments"),
    "analyze": ("draw the paper's figures of trained runs", "analyze"),
    "benchmark": ("time inference, training and rendering on this machine", "benchmark"),
}

HELP = """\
usage: cen COMMAND [ARGUMENT ...]

Train, measure and deploy Channel Exchanging Networks.

{commands}

examples:
  cen evaluate synthetic13-cen
  cen train config/train/synthetic.yaml output=runs/mine optimizer.batch=16

cen COMMAND --help lists the arguments of a command, cen --version prints the version."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names, and return its exit status.

    Args:
        argv: the command and its arguments; None takes those of this process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help(), file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"cen {_version()}")
        return 0
    try:
        _, module = look_up("command", arguments[0], COMMANDS)
    except ValueError as error:
        print(f"cen: {error}", file=sys.stderr)
        return 2
    return _run(module, *arguments)


def _run(module: str, command: str, *arguments: str) -> int:
    """Run a command. What the user can mend is told in one line, without a traceback."""
    try:
        return import_module(f"cen_model.cli.{module}").main(arguments) or 0
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        text = shortage(error)
        if text is None and not isinstance(error, (ValueError, OSError)):
            raise
        print(f"cen {command}: {text or error}", file=sys.stderr)
        return 1


def _help() -> str:
    lines = (f"  {command:<12} {about}" for command, (about, _) in COMMANDS.items())
    return HELP.format(commands="\n".join(("commands:", *lines)))


def _version() -> str:
    try:
        return version("cen_ros")
    except PackageNotFoundError:
        return "of a source tree that is not installed"
