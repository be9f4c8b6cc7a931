# SPDX-License-Identifier: Apache-2.0
"""The processor and the GPUs that networks run on: which of them is taken, and what the processor is."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import torch

INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "asimdhp", "bf16")

_CPUINFO = Path("/proc/cpuinfo")
_KIND = (
    *("vendor_id", "cpu family", "model", "model name", "stepping", "flags"),
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features"),
)


def default_device() -> str:
    """Return the device that a network runs on unless somebody chooses one: a GPU if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def describe_cpu() -> dict[str, str]:
    """Return the processor's name and its instruction sets that matter here, as "cpu" and "instructions"."""
    fields = dict(line.strip().split(":", 1) for line in _lscpu().splitlines() if ":" in line)
    flags = fields.get("Flags", "").split()
    return {
        "cpu": fields.get("Model name", platform.machine()).strip(),
        "instructions": " ".join(name for name in INSTRUCTIONS if name in flags),
    }


def cpu_has_bfloat16() -> bool:
    """Return whether the processor has instructions for bfloat16; without them, bfloat16 crawls."""
    return any(name.endswith("bf16") for name in describe_cpu()["instructions"].split())


def cpu_identity() -> str:
    """Return what compiled code depends on of the processor, in one line; cores of several kinds are all in the line.

    The processor's name is not enough: virtual machines give several processors the same, and ARM's have none.
    """
    fields = (line.partition(":") for line in _cpuinfo().splitlines())
    return "; ".join(sorted({f"{name.strip()} {value.strip()}" for name, _, value in fields if name.strip() in _KIND}))


def _lscpu() -> str:
    """Return what lscpu says, nothing where there is no lscpu; unlike /proc/cpuinfo, it names ARM's processors."""
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
