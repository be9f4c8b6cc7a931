# SPDX-License-Identifier: Apache-2.0
"""What an evaluation is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cen_model.data.data_config import DataConfig, Split
from cen_model.evaluation.image_distances import TranslationOptions
from cen_model.evaluation.inference_modes import InferenceConfig


@dataclass(frozen=True)
class Options:
    """What to measure, on what, and how."""

    weights: str
    data: DataConfig
    inference: InferenceConfig
    split: Split
    drop: tuple[str, ...]
    holes: Path | None
    """A folder of depth images whose holes all frames get, as `cen_model.evaluation.altered_frames.Holes` has it."""
    center_crop: tuple[int, int] | None
    """Height and width in pixels of all that is in view; the same pixels are measured with the whole frame in view."""
    frames: int | None
    """Only the first so many."""
    backend: str
    """What runs the network, as `cen_model.predictor.Deployment` has it."""
    precision: str
    label_groups: str | None
    """A file of groups of classes that labels and truth are told in, or the name of a shipped one."""
    translation: TranslationOptions
    fid: bool
    inception: Path | None
    output: Path | None
