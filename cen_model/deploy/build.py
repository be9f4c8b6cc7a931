# SPDX-License-Identifier: Apache-2.0
"""From a network to an engine: export, rewrite, compile, compare, keep."""

from __future__ import annotations

import json
import logging
import platform
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cen_model.deploy.backends.selection import BACKENDS, Target
from cen_model.deploy.cache import EngineCache
from cen_model.deploy.engine import CudaEngine, Engine, ready
from cen_model.deploy.fingerprint import engine_code
from cen_model.deploy.frame import Frame
from cen_model.deploy.graph import aten, is_call
from cen_model.deploy.precision import Precision
from cen_model.deploy.program import program
from cen_model.deploy.sample import sample_frame
from cen_model.utils import devices

LOGGER = logging.getLogger("cen_model.deploy")

# Share of the pixels whose label may differ from the network's own in float32. Where two classes are as good as equally
# likely, the last bit decides: half precision has fewer of them.
MAX_DIFFERENCE = {"fp32": 0.001, "fp16": 0.01, "bf16": 0.03}


_TELL_EVERY = 30.0
"""Seconds: building may take minutes."""

# Kept in place of an engine that was refused, with the reason: building it again would take as long, and end so again.
REFUSED = "refused.txt"


class EngineRefusedError(RuntimeError):
    """An engine was built, but does not label as the network does."""


def build_engine(frame: Frame, target: Target, cache: EngineCache) -> Engine | CudaEngine:
    """An engine from the cache, where it is built if need be, with its first frame behind it.

    Args:
        frame: on the target's device.

    Raises:
        EngineRefusedError: it labels too many pixels of a sample frame otherwise than the network does, now or when it
            was first built.
        EngineFolderError: the cache's folder cannot be written.
    """
    folder = cache.get(_parts(frame, target), partial(_build, frame, target))
    if (folder / REFUSED).is_file():
        text = (folder / REFUSED).read_text(encoding="utf-8")
        raise EngineRefusedError(f"{text}; without the folder {folder} it is built anew")
    with _stage(f"loading {folder}"):
        engine = ready(BACKENDS[target.backend].load(folder, target.device), frame.example())
        engine(*sample_frame(frame))
    return engine


def disagreement(frame: nn.Module, run: Callable[..., Sequence[Tensor]], inputs: Sequence[np.ndarray]) -> float:
    """Share in [0, 1] of the pixels that an engine labels otherwise than the network in float32."""
    tensors = [torch.from_numpy(each).to(next(frame.parameters()).device) for each in inputs]
    with torch.inference_mode():
        expected, actual = frame(*tensors)[0], run(*tensors)[0]
    return (expected != actual.to(expected.device)).float().mean().item()


def _build(frame: Frame, target: Target, folder: Path) -> None:
    backend = BACKENDS[target.backend]
    height, width = frame.config.sensor
    LOGGER.info("building an engine for %d×%d images: %s", height, width, target)
    with _stage("exporting and rewriting"):
        exported, _ = program(frame, *_graph(target))
    seconds = backend.seconds * sum(is_call(node, aten.conv2d.default) for node in exported.graph.nodes)
    with _stage(f"compiling with {target.backend}" + (f", about {seconds:.0f} s" if seconds > 5 else "")):
        backend.build(exported, frame.example(), folder, target.precision)
    differing = disagreement(frame, backend.load(folder, target.device), sample_frame(frame))
    LOGGER.info("labels of %.3f %% of the pixels of a sample frame differ from the network's own", 100 * differing)
    if differing > MAX_DIFFERENCE[target.precision]:
        text = (
            f"{target}: the engine labels {differing:.1%} of the pixels of a sample frame otherwise than the network "
            f"does, more than {MAX_DIFFERENCE[target.precision]:.1%}; take another backend or precision"
        )
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / REFUSED).write_text(text, encoding="utf-8")


@contextmanager
def _stage(what: str) -> Iterator[None]:
    """Says that it begins, every half minute that it goes on, and that it is done."""
    LOGGER.info("%s …", what)
    name, start, over = what.partition(",")[0], time.monotonic(), threading.Event()

    def tell() -> None:
        while not over.wait(_TELL_EVERY):
            LOGGER.info("%s: %.0f s so far", name, time.monotonic() - start)

    threading.Thread(target=tell, daemon=True).start()
    try:
        yield
    finally:
        over.set()
    LOGGER.info("%s: done in %.1f s", name, time.monotonic() - start)


def _parts(frame: Frame, target: Target) -> dict[str, str]:
    """Return all that an engine depends on, and the limit that it is judged by."""
    backend, (passes, precision) = BACKENDS[target.backend], _graph(target)
    return {
        "weights": _weights_hash(frame.model),
        "network": json.dumps(frame.model.config.to_dict()),
        "frame": json.dumps(asdict(frame.config)),
        "code": engine_code(backend.build),
        "graph": " ".join((*passes, precision)),
        "backend": target.backend,
        "precision": target.precision,
        "max_difference": str(MAX_DIFFERENCE[target.precision]),
        "device": _device_name(target.device),
        "processor": devices.cpu_identity(),
        # Compiled code has the number in it; torchrun, for one, lets every process have a single thread.
        "threads": str(torch.get_num_threads()) if target.device.type == "cpu" else "",
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "",
        **_libraries(frame.model),
        **backend.versions(),
    }


def _graph(target: Target) -> tuple[tuple[str, ...], Precision]:
    """Return the passes that make the graph, and the precision in which the graph itself computes."""
    backend = BACKENDS[target.backend]
    return backend.passes[target.device.type], target.precision if backend.casts else "fp32"


def _libraries(model: nn.Module) -> dict[str, str]:
    """Return the versions of the libraries that the network's layers are from."""
    names = {type(each).__module__.partition(".")[0] for each in model.modules()} - {"cen_model"}
    return {name: getattr(sys.modules[name], "__version__", "") for name in sorted(names)}


def _weights_hash(model: nn.Module) -> str:
    digest = sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"{torch.cuda.get_device_name(device)}, compute capability {major}.{minor}"
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
