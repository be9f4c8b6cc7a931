# SPDX-License-Identifier: Apache-2.0
"""The segmentation node without a network, to measure what the node itself takes: a pixel's red is its label.

python -m cen_ros.benchmark.identity_network
"""

from __future__ import annotations

import numpy as np

from cen_ros.node import main
from cen_ros.segmentation.settings import Settings


class Answer:
    """As `cen_model.predictor.Prediction`, without PyTorch."""

    def __init__(self, labels: np.ndarray):
        self.labels, self.confidence = labels, None


class Identity:
    """In the place of `cen_ros.segmentation.networks.Networks`."""

    classes = ("something",)
    device = "cpu"

    def __str__(self) -> str:
        return "no network"

    def predict(self, rgb: np.ndarray, depth: np.ndarray | None, confidence: bool) -> Answer:
        """Red: uint8 (H, W)."""
        return Answer(np.ascontiguousarray(rgb[..., 0]))


def load(settings: Settings) -> Identity:
    """As `cen_ros.segmentation.networks.load`, whatever the settings."""
    return Identity()


if __name__ == "__main__":
    main(load=load)
