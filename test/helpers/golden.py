# SPDX-License-Identifier: Apache-2.0
"""Reference outputs of the paper's published implementation."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import torch

from helpers.paths import SHARED

GOLDEN = SHARED / "golden"


def reference(name):
    """The reference outputs, and the weights that they were made with."""
    spec = importlib.util.spec_from_file_location("fill", GOLDEN / "fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        outputs = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    shapes = json.loads((GOLDEN / f"{name}.keys.json").read_text())
    parts = shapes if "generator" in shapes else {"segmenter": shapes}
    weights = {part: {n: torch.from_numpy(a) for n, a in fill.fill(each).items()} for part, each in parts.items()}
    return outputs, weights
