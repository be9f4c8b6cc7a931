# SPDX-License-Identifier: Apache-2.0
"""From a network to the program that a backend compiles: exported and rewritten."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch

from cen_model.deploy.frame import Frame
from cen_model.deploy.graph import export, tidy
from cen_model.deploy.precision import DTYPES, Precision, cast
from cen_model.deploy.simplify import Step, simplify


def program(
    frame: Frame, passes: Sequence[str], precision: Precision
) -> tuple[torch.export.ExportedProgram, list[Step]]:
    """Return the rewritten graph of a frame, on the frame's device, and what each pass saved.

    Args:
        passes: names from `cen_model.deploy.simplify.PASSES`.
        precision: in which the graph itself computes.
    """
    # Rewritten on the CPU, wherever the frame is, for that is where the constants are made on the way.
    on_cpu = copy.deepcopy(frame).cpu()
    example = on_cpu.example()
    graph_module = export(on_cpu, example)
    steps = simplify(graph_module, example, passes)
    if precision != "fp32":
        cast(graph_module, DTYPES[precision])
        tidy(graph_module, example)
    on_device = frame.example()
    return torch.export.export(graph_module.to(on_device[0].device), on_device), steps
