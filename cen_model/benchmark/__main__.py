# SPDX-License-Identifier: Apache-2.0
"""Measure this machine: `python -m cen_model.benchmark inference [--networks …] [--output docs/inference]`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import torch
from jsonargparse import auto_cli

from cen_model.benchmark.inference import NONE, measure
from cen_model.benchmark.tables import markdown
from cen_model.deploy.backends import BACKENDS
from cen_model.files import write_atomically

DEFAULT_NETWORKS = ["cen", "cen-light18", "synthetic13-cen"]


def inference(
    networks: list[str] = DEFAULT_NETWORKS,
    backends: list[str] = [NONE, *BACKENDS],  # noqa: B006 - jsonargparse shows it; nothing changes it
    size: tuple[int, int] = (480, 640),
    device: str | None = None,
    rounds: int = 5,
    output: Path | None = None,
) -> None:
    """Time networks and backends against the way the paper's code runs them.

    Args:
        networks: names of the registry (with a third of their channels exchanged), of shipped weights, or files.
        backends: what runs them; "none" is the network as it was trained.
        size: height and width of the images.
        device: cpu, cuda, …; without it a GPU where there is one.
        rounds: how often every contestant has its turn.
        output: files to write, without their endings .json and .md.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    results = measure(networks, size, device, backends, rounds)
    text = markdown(results, shlex.join(["python", "-m", "cen_model.benchmark", *sys.argv[1:]]))
    print(text)
    if output:
        for ending, content in ((".json", results.to_json()), (".md", text)):
            path = output.with_name(output.name + ending)
            write_atomically(path, lambda temporary, content=content: temporary.write_text(content, encoding="utf-8"))


if __name__ == "__main__":
    try:
        auto_cli({"inference": inference})
    except (ValueError, OSError) as error:
        sys.exit(f"benchmark: {error}")
