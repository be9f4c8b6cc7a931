# SPDX-License-Identifier: Apache-2.0
"""The temperature by which a network's logits are divided, so that its confidence is how often it is right.

Axes: N pixels, K classes.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from cen_model.classes import VOID
from cen_model.data.data_config import DataConfig
from cen_model.data.dataset import Dataset
from cen_model.data.loaders import evaluation_loader
from cen_model.evaluation.calibration import calibration_error, count_levels
from cen_model.evaluation.confusion import class_scores
from cen_model.evaluation.inference_modes import InferenceConfig
from cen_model.nn.network import MultimodalNetwork

COLDEST, HOTTEST = 0.01, 100.0
_HALVINGS = 40
_STEP = 8
"""Every so many pixels, down and across, one is taken: logits have a quarter of the resolution, neighbors are alike."""


def sample_logits(model: MultimodalNetwork, dataset: Dataset, data: DataConfig) -> tuple[Tensor, Tensor]:
    """Return logits of the ensemble, float32 (N, K), and true classes, int64 (N,), of a grid of pixels of all frames.

    Raises:
        ValueError: no pixel of the grid has a label.
    """
    logits, truths, grid = [], [], (..., slice(_STEP // 2, None, _STEP), slice(_STEP // 2, None, _STEP))
    for batch in evaluation_loader(dataset, replace(data, size=None), model.config.modalities, data.evaluation_batch):
        truth = batch["label"][grid]
        scores = class_scores(model, batch, InferenceConfig())["ensemble"][grid] * model.config.temperature
        logits.append(scores.movedim(1, -1).cpu()[truth != VOID])
        truths.append(truth[truth != VOID].long())
    if not sum(map(len, truths)):
        raise ValueError("no pixel that was looked at has a label")
    return torch.cat(logits), torch.cat(truths)


def fit_temperature(logits_NK: Tensor, truth_N: Tensor) -> float:
    """Return the temperature, 0.01 to 100, at which the true classes are likeliest."""
    of_truth = logits_NK.gather(1, truth_N[:, None]).mean(dtype=torch.float64)
    low, high = COLDEST, HOTTEST
    # The negative log-likelihood is convex in 1 / T; its slope is the logits' expectation less those of the truth.
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        expected = ((logits_NK / middle).softmax(1) * logits_NK).sum(1).mean(dtype=torch.float64)
        low, high = (middle, high) if expected > of_truth else (low, middle)
    return round((low * high) ** 0.5, 4)


def measure(logits_NK: Tensor, truth_N: Tensor, temperature: float) -> tuple[float, float]:
    """Return the negative log-likelihood of the true classes, and the calibration error, at a temperature."""
    tempered = logits_NK / temperature
    confidence, labels = tempered.softmax(1).max(1)
    levels = count_levels(truth_N.numpy(), labels.numpy(), (255 * confidence).round().byte().numpy())
    return F.cross_entropy(tempered, truth_N).item(), calibration_error(levels)
