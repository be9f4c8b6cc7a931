# SPDX-License-Identifier: Apache-2.0
"""numpy in, numpy out: what the node, the bags and the demo use.

Axes: H W the sensor's pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from cen_model.checkpoint import load
from cen_model.deploy.backends.selection import AUTO, Target, targets
from cen_model.deploy.build import build_engine
from cen_model.deploy.cache import EngineCache, EngineFolderError
from cen_model.deploy.engine import Engine
from cen_model.deploy.frame import Branch, Frame, FrameConfig, check
from cen_model.deploy.sample import inputs_of
from cen_model.label_groups import read_groups
from cen_model.nn.network import MultimodalNetwork
from cen_model.utils.devices import default_device

LOGGER = logging.getLogger("cen_model.deploy")
NONE = "none"
_KEPT = 4
"""Sizes of images, beside those that were prepared, whose buffers are kept: cameras have few, and broken ones many."""


@dataclass(frozen=True)
class Deployment:
    """How a network is to run.

    Attributes:
        backend: a name in `cen_model.deploy.backends.selection.BACKENDS`; "auto" for the best that is installed and
            works; "none" for the network as it was trained, which needs no engine to be built.
        precision: "fp32", "fp16" or "bf16"; "auto" for what suits the backend on the device.
        branch: "ensemble", or "rgb" or "depth" to run that modality's decoder alone.
        cache: the folder of engines; None takes the project's own in the user's cache folder.
        on_demand: whether the first image of a new size waits for an engine; if not, images of a size that was not
            prepared are labeled without one.
    """

    backend: str = NONE
    precision: str = AUTO
    branch: Branch = "ensemble"
    confidence: bool = False
    cache: Path | None = None
    on_demand: bool = True


@dataclass(frozen=True)
class Prediction:
    """What the network says of one frame.

    Attributes:
        labels: uint8 (H, W) class ids at the size of the RGB image; 255 where groups leave a class void.
        confidence: uint8 (H, W) probability of the label, 255 being certain; None where it was not asked for.
    """

    labels: np.ndarray
    confidence: np.ndarray | None = None


class Predictor:
    """A network ready for raw sensor arrays.

    On a CPU, a program that labels frame after frame is faster with
    `cen_model.utils.process_settings.keep_freed_memory`.

    Args:
        model: in evaluation mode.
        size: (height, width) that images are resized to for the network; None takes the height that the network was
            trained at, with the image's own proportions, or the image as it is where the network does not say. See
            `cen_model.deploy.network_size` for the bounds of either.
        device: "cpu", "cuda", "cuda:1", …; None takes a GPU where there is one.
        deployment: how it is to run.
        label_groups: a file of groups of classes, or the name of one that comes with the package, such as nyu13: labels
            and their confidence are then those of groups; see config/groups/nyu13.yaml.

    Raises:
        FileNotFoundError: there are no such groups; lists the names.
        ValueError: the network is not one for segmentation, takes more than rgb and depth, or has no such branch; or
            the backend is unknown, not installed, or lacks the precision; or the groups do not fit its classes.
    """

    def __init__(
        self,
        model: MultimodalNetwork,
        size: tuple[int, int] | None = None,
        device: str | None = None,
        deployment: Deployment | None = None,
        label_groups: str | Path | None = None,
    ) -> None:
        self.deployment = deployment or Deployment()
        check(model.config, self.deployment.branch)
        self.device = torch.device(device or default_device())
        self.size = size
        self.groups = read_groups(label_groups, model.config.classes) if label_groups else None
        self._targets: list[Target] = []
        if self.deployment.backend != NONE:
            self._targets = targets(self.deployment.backend, self.device, self.deployment.precision)
        # Channels-last is the layout that oneDNN and cuDNN compute in.
        self._model = model.to(self.device, memory_format=torch.channels_last)
        self._engines: dict[tuple[int, int], Callable[..., tuple[np.ndarray, ...]]] = {}
        self._met: list[tuple[int, int]] = []

    @classmethod
    def load(
        cls,
        path_or_name: str | Path,
        size: tuple[int, int] | None = None,
        device: str | None = None,
        deployment: Deployment | None = None,
        label_groups: str | Path | None = None,
    ) -> Predictor:
        """Read a checkpoint, or shipped weights by their name; see `cen_model.load` for what is raised."""
        return cls(load(path_or_name), size, device, deployment, label_groups)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, or of the groups that stand for them; a label is an index into them."""
        return self.groups.names if self.groups else self._model.config.classes

    @property
    def modalities(self) -> tuple[str, ...]:
        """What the network looks at: of "rgb" and "depth"."""
        return self._model.config.modalities

    @property
    def target(self) -> Target | None:
        """What the frames run on, and why; None where they run without an engine."""
        return self._targets[0] if self._targets else None

    def prepare(self, sensor: tuple[int, int]) -> None:
        """Load or build the engine for images of (height, width), so that the first frame does not wait for it.

        Raises:
            EngineRefusedError: it was built, but does not label as the network does.
            EngineFolderError: the folder of engines cannot be written.
            ValueError: the network would have to work at a size beyond its bounds.
        """
        if sensor not in self._engines:
            self._engines[sensor] = self._engine(self._frame(sensor))

    def predict(self, rgb: np.ndarray, depth: np.ndarray | None = None) -> Prediction:
        """Label one frame. The first of another size than those before prepares an engine for it.

        Args:
            rgb: uint8 (H, W, 3).
            depth: (H, W), registered to rgb; uint16 in millimeters or float32 in meters. A hole (0, NaN, inf or
                negative) reaches the network as 0 m, which no surface has; nothing is filled in. Without depth, or
                with holes alone, a network of both answers by its RGB stream.

        Raises:
            ValueError: an array of another type or shape, or of one that takes the network beyond its bounds.
        """
        if depth is None:
            depth = np.zeros(rgb.shape[:2], np.uint16)
        _check(rgb, depth)
        if depth.shape not in self._engines:
            self._meet(depth.shape)
        return Prediction(*self._engines[depth.shape](*inputs_of(self._model.config.modalities, rgb, depth)))

    def _meet(self, sensor: tuple[int, int]) -> None:
        """Prepare for images of a size that was not announced."""
        frame = self._frame(sensor)
        if self.deployment.on_demand or not self._targets:
            self._engines[sensor] = self._engine(frame)
        else:
            self._say_unprepared(sensor)
            self._engines[sensor] = Engine(frame, frame.example())
        self._met.append(sensor)
        if len(self._met) > _KEPT:
            del self._engines[self._met.pop(0)]

    def _say_unprepared(self, sensor: tuple[int, int]) -> None:
        prepared = [f"{height}×{width}" for height, width in self._engines if (height, width) not in self._met]
        LOGGER.warning(
            "images are %d×%d, engines are there for %s: labeling without an engine, which is slower",
            *sensor,
            " and ".join(prepared) or "none",
        )

    def _frame(self, sensor: tuple[int, int]) -> Frame:
        deployment, groups = self.deployment, self.groups.ids if self.groups else ()
        config = FrameConfig.of(self._model.config, sensor, self.size, deployment.branch, deployment.confidence, groups)
        return Frame(self._model, config)

    def _engine(self, frame: Frame) -> Callable[..., tuple[np.ndarray, ...]]:
        if not self._targets:
            return Engine(frame, frame.example())
        cache = EngineCache(self.deployment.cache)
        while len(self._targets) > 1:
            try:
                return build_engine(frame, self._targets[0], cache)
            except EngineFolderError:  # which is no backend's fault
                raise
            except Exception as error:  # a compiler may fail in any way; the next best backend is there for that
                LOGGER.warning("no engine with %s: %s", self._targets[0], error)
                failed, following, *others = self._targets
                why = f"{following.why}; no {failed.backend}: it could not be built, the log says why"
                self._targets = [replace(following, why=why), *others]
        return build_engine(frame, self._targets[0], cache)


def _check(rgb: np.ndarray, depth: np.ndarray) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"rgb: expected uint8 (H, W, 3), got {rgb.dtype} {rgb.shape}")
    if depth.dtype not in (np.uint16, np.float32) or depth.shape != rgb.shape[:2]:
        raise ValueError(
            f"depth: expected uint16 millimeters or float32 meters of shape {rgb.shape[:2]}, registered to rgb; "
            f"got {depth.dtype} {depth.shape}"
        )
