# SPDX-License-Identifier: Apache-2.0
"""One way to label frames, as a contestant.

Axes: H W the sensor's pixels.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from cen_model.benchmark.reference import ListNetwork, frame
from cen_model.checkpoint import load
from cen_model.deploy.sample import sample_images
from cen_model.predictor import NONE, Deployment, Predictor
from cen_model.utils.process_settings import keep_freed_memory

REFERENCE = "published"


@dataclass(frozen=True)
class Deployed:
    """What is to be measured; a turn's answer are the sample frame's labels, uint8 (H, W).

    Attributes:
        weights: checkpoint file.
        backend: of `cen_model.deploy`, "none" for the network as it is, or "published" for the paper's way to run it.
        sensor: (height, width) of the images.
        cache: folder for its engine.
    """

    weights: Path
    backend: str
    precision: str
    branch: str
    sensor: tuple[int, int]
    device: str
    cache: Path

    def set_process(self) -> None:
        if self.backend != REFERENCE:
            keep_freed_memory()

    def prepare(self) -> Callable[[], np.ndarray]:
        images = sample_images(self.sensor)
        model = load(self.weights)
        if self.backend == REFERENCE:
            return partial(frame, ListNetwork(model).to(self.device), *images)
        deployment = Deployment(self.backend, self.precision, self.branch, cache=self.cache)
        if self.backend != NONE:
            self._build()
        return partial(_labels, Predictor(model, device=self.device, deployment=deployment), *images)

    def _build(self) -> None:
        """In a process of its own: what compilers leave in memory is not the engine's."""
        command = [sys.executable, "-m", "cen_model.deploy", str(self.weights), "--build-only", "--output", self.cache]
        height, width = self.sensor
        options = {"backend": self.backend, "precision": self.precision, "branch": self.branch, "device": self.device}
        command += [f"--{name}={value}" for name, value in {**options, "size": f"{height}x{width}"}.items()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().rpartition("\n")[2])


def _labels(predictor: Predictor, rgb: np.ndarray, depth: np.ndarray) -> np.ndarray:
    return predictor.predict(rgb, depth).labels
