# SPDX-License-Identifier: Apache-2.0
"""What a result was made with: versions, commit, device, command."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Those of the packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # or run from a source tree that is not installed
            continue
    return found


def commit() -> str | None:
    """The commit of the source tree that this runs from, "+" behind it where files of it were changed; else None."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run([*command, "--dirty=+"], capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def device_name(device: torch.device) -> str:
    """Of the GPU, or of the processor's architecture."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()})"


def command(program: str, arguments: Sequence[str] | None = None) -> str:
    """The command line that runs a program with these arguments; None takes this process's own."""
    return shlex.join([*program.split(), *(sys.argv[1:] if arguments is None else arguments)])
