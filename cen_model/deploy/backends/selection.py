# SPDX-License-Identifier: Apache-2.0
"""What runs an exported graph: one interface, one literal registry, and the choice of the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cen_model.deploy.backends import eager, inductor, onnx, openvino, tensorrt
from cen_model.deploy.precision import Precision
from cen_model.deploy.simplify import PASSES
from cen_model.utils.validation import look_up

Run = Callable[..., Sequence[Tensor]]
"""A frame's inputs on the engine's device → its outputs there."""

_ALL = tuple(name for name in PASSES if name not in ("matrices", "pools", "winograd"))
"""That suit everyone."""


@dataclass(frozen=True)
class Backend:
    """One way to run a graph.

    Attributes:
        unavailable: says why it cannot be used on a device, or None.
        versions: of the libraries, beside PyTorch, that its engines depend on.
        build: (program, example inputs, empty folder, precision) → an engine in the folder.
        load: (folder, device) → `Run`.
        passes: of `simplify`, those that suit it, by type of device.
        precisions: by type of device; the first is taken where none is asked for.
        casts: whether the graph itself is to compute in half precision; if not, the backend is told.
        seconds: that building took per convolution on two cores of an AMD EPYC (Milan); a rough guide.
    """

    unavailable: Callable[[torch.device], str | None]
    versions: Callable[[], dict[str, str]]
    build: Callable[[torch.export.ExportedProgram, Sequence[Tensor], Path, str], None]
    load: Callable[[Path, torch.device], Run]
    passes: Mapping[str, tuple[str, ...]]
    precisions: Mapping[str, tuple[Precision, ...]]
    casts: bool = True
    seconds: float = 0.0


def _backend(module, passes, precisions, **more) -> Backend:
    return Backend(module.unavailable, module.versions, module.build, module.load, passes, precisions, **more)


_CPU = ("fp32", "bf16")
_CUDA = ("fp16", "bf16", "fp32")

BACKENDS: dict[str, Backend] = {
    "tensorrt": _backend(tensorrt, {"cuda": (*_ALL, "matrices")}, {"cuda": ("fp16", "fp32")}, seconds=2.0),
    "inductor": _backend(
        inductor, {"cpu": (*_ALL, "pools", "winograd"), "cuda": _ALL}, {"cpu": _CPU, "cuda": _CUDA}, seconds=0.5
    ),
    "openvino": _backend(openvino, {"cpu": (*_ALL, "matrices", "pools")}, {"cpu": _CPU}, casts=False, seconds=0.2),
    "onnx": _backend(onnx, {"cpu": (*_ALL, "matrices")}, {"cpu": ("fp32",)}, seconds=0.1),
    "eager": _backend(eager, {"cpu": _ALL, "cuda": _ALL}, {"cpu": _CPU, "cuda": _CUDA}),
}
"""Best first."""

AUTO = "auto"


@dataclass(frozen=True)
class Target:
    """A backend on a device.

    Attributes:
        backend: a name in `BACKENDS`.
        why: it was chosen, in words.
    """

    backend: str
    device: torch.device
    precision: Precision
    why: str

    def __str__(self) -> str:
        return f"{self.backend} in {self.precision} on {self.device.type} ({self.why})"


def targets(backend: str, device: torch.device, precision: str = AUTO) -> list[Target]:
    """The backends to try, best first: the one named, or for "auto" all that can be used on the device.

    Raises:
        ValueError: an unknown name, a backend that cannot be used on the device, or a precision that none has there.
    """
    known = sorted({kind for each in BACKENDS.values() for kind in each.precisions})
    if device.type not in known:
        raise ValueError(f"device {str(device)!r}: expected {' or '.join(known)}, or backend none")
    if backend != AUTO:
        return [_named(backend, device, precision)]
    reasons, usable = [], []
    for name, each in BACKENDS.items():
        if device.type not in each.precisions:
            continue
        reason = each.unavailable(device)
        if reason is None and precision not in (AUTO, *each.precisions[device.type]):
            reason = f"it has no {precision} on {device.type}"
        if reason is not None:
            reasons.append(f"no {name}: {reason}")
            continue
        why = "; ".join(["the best that is installed", *reasons])
        usable.append(Target(name, device, _precision(each, device, precision), why))
    if not usable:
        raise ValueError(f"precision {precision!r} on {device.type}: {'; '.join(reasons)}")
    return usable


def _named(name: str, device: torch.device, precision: str) -> Target:
    backend = look_up("backend", name, BACKENDS)
    reason = backend.unavailable(device)
    if reason is not None:
        raise ValueError(f"backend {name!r} cannot be used: {reason}")
    known = backend.precisions.get(device.type, ())
    if precision not in (AUTO, *known):
        raise ValueError(f"backend {name!r} on {device.type} computes in {' or '.join(known)}, not in {precision!r}")
    return Target(name, device, _precision(backend, device, precision), "as asked for")


def _precision(backend: Backend, device: torch.device, precision: str) -> Precision:
    return backend.precisions[device.type][0] if precision == AUTO else precision
