# SPDX-License-Identifier: Apache-2.0
"""One way to run a network, in a process of its own: so that its memory is its own, and frames can be timed in turn.

Axes: H W the sensor's pixels.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter

import numpy as np

from cen_model.benchmark.machine import peak_memory
from cen_model.benchmark.reference import ListNetwork, frame
from cen_model.checkpoint import load
from cen_model.deploy.sample import sample_images
from cen_model.predictor import Deployment, Predictor

REFERENCE = "published"


@dataclass(frozen=True)
class Entry:
    """What is to be measured.

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


@dataclass(frozen=True)
class Readiness:
    """What a contestant says once it can run.

    Attributes:
        build_seconds: from the checkpoint to the first frame's labels.
        labels: of the sample frame, uint8 (H, W).
    """

    build_seconds: float
    labels: np.ndarray


class Contestant:
    """A running process; use it in a `with` statement.

    Raises:
        RuntimeError: on entering, where the entry cannot run; with the reason.
    """

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(entry, theirs), daemon=True)

    def __enter__(self) -> Contestant:
        self._process.start()
        answer = self._connection.recv()
        if isinstance(answer, str):
            self._process.join()
            raise RuntimeError(answer)
        self.readiness: Readiness = answer
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.send(None)
        self._process.join()

    def seconds(self, frames: int = 1) -> list[float]:
        """Time of each of so many frames, from arrays to labels."""
        self._connection.send(frames)
        return self._connection.recv()

    def peak_memory(self) -> int:
        """Bytes, of the process, or on a GPU of its tensors."""
        self._connection.send("memory")
        return self._connection.recv()


def _serve(entry: Entry, connection: Connection) -> None:
    images = sample_images(entry.sensor)
    try:
        start = perf_counter()
        run = _prepare(entry)
        labels = run(*images)
        connection.send(Readiness(perf_counter() - start, labels))
    except Exception as error:  # whatever a compiler raises is this contestant's result
        connection.send(f"{type(error).__name__}: {error}")
        return
    while (order := connection.recv()) is not None:
        connection.send(peak_memory(entry.device) if order == "memory" else [_time(run, images) for _ in range(order)])


def _time(run: Callable[..., np.ndarray], images: tuple[np.ndarray, ...]) -> float:
    start = perf_counter()
    run(*images)
    return perf_counter() - start


def _prepare(entry: Entry) -> Callable[..., np.ndarray]:
    model = load(entry.weights)
    if entry.backend == REFERENCE:
        return partial(frame, ListNetwork(model).to(entry.device))
    deployment = Deployment(entry.backend, entry.precision, entry.branch, cache=entry.cache)
    return partial(_labels, Predictor(model, device=entry.device, deployment=deployment))


def _labels(predictor: Predictor, rgb: np.ndarray, depth: np.ndarray) -> np.ndarray:
    return predictor.predict(rgb, depth).labels
