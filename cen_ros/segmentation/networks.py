# SPDX-License-Identifier: Apache-2.0
"""The networks that a configured node holds: one set of weights, an engine for each thing that may be asked of it."""

from __future__ import annotations

import gc
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cen_ros.segmentation.settings import Settings

if TYPE_CHECKING:  # imports PyTorch, which takes seconds
    from cen_model.nn.network import MultimodalNetwork
    from cen_model.predictor import Prediction, Predictor


class Networks:
    """Labels frames with depth, and without where `alone` is given.

    Args:
        paired: by whether confidence is asked for: labels RGB and depth.
        alone: the same for RGB images whose depth is missing; empty where such images are not to be labeled.
    """

    def __init__(self, paired: dict[bool, Predictor], alone: dict[bool, Predictor]):
        self._paired, self._alone = paired, alone

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, or of the groups that stand for them; a label is an index into them."""
        return self._paired[False].classes

    @property
    def device(self) -> str:
        """In PyTorch's words."""
        return str(self._paired[False].device)

    @property
    def needs_depth(self) -> bool:
        """Whether depth is among what the network looks at."""
        return "depth" in self._paired[False].modalities

    def __str__(self) -> str:
        target = self._paired[False].target
        return str(target or f"{self.device}, without an engine")

    def predict(self, rgb: np.ndarray, depth: np.ndarray | None, confidence: bool) -> Prediction:
        """Label uint8 (H, W, 3) and uint16 mm or float32 m (H, W), or the color alone."""
        if depth is None:
            return self._alone[confidence].predict(rgb)
        return self._paired[confidence].predict(rgb, depth)


def load(settings: Settings) -> Networks:
    """Read the weights, load or build the engines, and run each once.

    Raises whatever `Predictor.load` and `Predictor.prepare` raise, and ValueError where rgb_weights are for other
    classes or not for RGB alone.
    """
    from cen_model.checkpoint import load as load_weights  # imports PyTorch, which takes seconds

    model = load_weights(settings.weights)
    paired = _predictors(settings, model, settings.branch)
    if "depth" not in model.config.modalities:
        alone = paired
    elif settings.depth_timeout == 0:
        alone = {}
    elif settings.rgb_weights:
        alone = _predictors(settings, load_weights(settings.rgb_weights), "ensemble")
        _check_fit(settings, paired[False], alone[False])
    else:
        alone = paired if settings.branch == "rgb" else _predictors(settings, model, "rgb")
    for predictor in dict.fromkeys([*paired.values(), *alone.values()]):
        predictor.prepare(settings.image_size)
        # The first run allocates and picks kernels; the first camera image should not wait for that.
        predictor.predict(np.zeros((*settings.image_size, 3), np.uint8), np.zeros(settings.image_size, np.uint16))
    return Networks(paired, alone)


def _predictors(settings: Settings, model: MultimodalNetwork, branch: str) -> dict[bool, Predictor]:
    """For a network, by whether they give confidence; without engines yet."""
    from cen_model.predictor import Deployment, Predictor

    # Not on demand: a build takes minutes, in which no label would come and the node could not be stopped.
    plain = Deployment(settings.backend, settings.precision, branch, False, settings.engine_cache, on_demand=False)
    return {
        confidence: Predictor(
            model, settings.size, settings.device, replace(plain, confidence=confidence), settings.label_groups
        )
        for confidence in ((False, True) if settings.confidence else (False,))
    }


def _check_fit(settings: Settings, paired: Predictor, alone: Predictor) -> None:
    if alone.modalities != ("rgb",):
        took = " and ".join(alone.modalities)
        raise ValueError(
            f"parameter rgb_weights: expected a network for rgb alone, {settings.rgb_weights} takes {took}"
        )
    if alone.classes != paired.classes:
        raise ValueError(
            f"parameter rgb_weights: expected the classes of {settings.weights}, {', '.join(paired.classes)}; "
            f"{settings.rgb_weights} has {', '.join(alone.classes)}"
        )


def release_memory() -> None:
    """Free networks that are not used any more, and give what PyTorch keeps of a GPU back to its other processes."""
    gc.collect()  # exported graphs are cycles of references
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        torch.cuda.empty_cache()
