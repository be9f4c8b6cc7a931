# SPDX-License-Identifier: Apache-2.0
"""The processor that networks run on: its name, its instructions, and what compiled code depends on of it."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "asimdhp", "bf16")

_CPUINFO = Path("/proc/cpuinfo")
_KIND = (
    *("vendor_id", "cpu family", "model", "model name", "stepping", "flags"),
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features"),
)


def describe() -> dict[str, str]:
    """Its name and those of its instruction sets that matter here, under "cpu" and "instructions"."""
    fields = dict(line.strip().split(":", 1) for line in _lscpu().splitlines() if ":" in line)
    flags = fields.get("Flags", "").split()
    return {
        "cpu": fields.get("Model name", platform.machine()).strip(),
        "instructions": " ".join(name for name in INSTRUCTIONS if name in flags),
    }


def has_bfloat16() -> bool:
    """Whether it has instructions for it; without them, it crawls."""
    return any(name.endswith("bf16") for name in describe()["instructions"].split())


def identity() -> str:
    """What compiled code depends on of it, in one line; cores of several kinds are all in it.

    Its name is not enough: virtual machines give several processors the same, and ARM's have none.
    """
    fields = (line.partition(":") for line in _cpuinfo().splitlines())
    return "; ".join(sorted({f"{name.strip()} {value.strip()}" for name, _, value in fields if name.strip() in _KIND}))


def _lscpu() -> str:
    """Unlike /proc/cpuinfo, it has names of ARM's processors; nothing where there is no such command."""
    try:
        done = subprocess.run(["lscpu"], env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout


def _cpuinfo() -> str:
    try:
        return _CPUINFO.read_text(encoding="utf-8")
    except OSError:
        return f"model name: {platform.processor()}"
