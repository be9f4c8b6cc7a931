# SPDX-License-Identifier: Apache-2.0
"""Which data a run reads, and how it is augmented."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

from cen_model.utils.validation import AT_LEAST_0, AT_LEAST_1, POSITIVE, SHARE, check

Split = Literal["train", "validation", "test"]
"""What is learned from, what chooses among checkpoints and settings, and what is measured at the end.

Where a known data set has two official parts, such as NYUDv2, validation frames are some of the training frames. In
custom data without one of validation and test, the other stands for it.
"""
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class SyntheticConfig:
    """Synthetic scenes, by seed. The three ranges of seeds must not overlap."""

    size: tuple[int, int] = (240, 320)
    """Height and width of a scene in pixels."""
    train_scenes: int = 2000
    train_seed: int = 0
    validation_scenes: int = 50
    validation_seed: int = 1_000_000
    test_scenes: int = 200
    test_seed: int = 2_000_000

    def __post_init__(self) -> None:
        ranges = sorted((self.seeds(split) for split in ("train", "validation", "test")), key=lambda seeds: seeds.start)
        for lower, upper in pairwise(ranges):
            if upper.start < lower.stop:
                raise ValueError(f"data.synthetic: the seeds {lower} and {upper} overlap; scenes must not be shared")

    def seeds(self, split: Split) -> range:
        """The scenes of a split."""
        first = getattr(self, f"{split}_seed")
        return range(first, first + getattr(self, f"{split}_scenes"))


@dataclass(frozen=True)
class DataConfig:
    """A dataset, and what training makes of its frames."""

    dataset: str = "synthetic"
    """synthetic, nyudv2, sunrgbd, cityscapes, taskonomy, custom or packed."""
    root: Path | None = None
    """The dataset's folder as people have it; of "custom" the YAML file that describes it, of "packed" the file."""
    layout: str | None = None
    """How the folder is organized; None finds out."""
    label_set: str | None = None
    """Such as nyu40 or nyu13; None takes the dataset's own."""
    depth_scale: float | None = None
    """Steps of a meter in depth images of 8 bits, which SA-Gate's layout may have (CMX, DFormer); None refuses them."""
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    include_validation: bool = False
    """Train on the validation frames, too. Then nothing is chosen by them, and the last weights are the best ones."""
    with_synthetic: bool = False
    """Train on the training scenes of `synthetic` beside the dataset's own frames. They have the 13 classes of NYUDv2;
    where one of them is several of the dataset's, the network may take it for any of these."""
    size: tuple[int, int] | None = None
    """Height and width that frames are resized to before anything else; None leaves them."""
    crop: tuple[int, int] = (160, 208)
    """Height and width of what the network is trained on."""
    scale: tuple[float, float] = (0.5, 1.0)
    """Range of the random resizing factor before the crop."""
    min_side: int = 0
    """Pixels that the shorter side of a resized frame has at least, whatever its factor (the published code: 350)."""
    scale_depth: bool = False
    """Divide depth by that factor, as if the camera were so much nearer; else the lens is taken for a longer one."""
    rotation: float = 0.0
    """Greatest angle in degrees of a random rotation about the optical axis."""
    jitter: float = 0.3
    """Strength of the random change of brightness, contrast and saturation."""
    mirror: float = 0.5
    """Probability of a horizontal flip."""
    cutout: float = 0.0
    """Probability of a blanked rectangle."""
    depth_faults: float = 0.0
    """Probability that depth gets a camera's holes, noise and misregistration (see `cen_model.data.depth_faults`)."""
    modality_dropout: float = 0.0
    """Probability that one of several modalities is missing from a sample: the network learns to do without."""
    on_device: bool = False
    """Keep the frames in the device's memory and augment them there; for datasets that fit."""
    workers: int = 0
    """Loader processes; 0 loads in the training process."""
    evaluation_batch: int = 4

    def __post_init__(self) -> None:
        check(self, "data.", AT_LEAST_0, "min_side", "rotation", "jitter", "workers")
        check(self, "data.", AT_LEAST_1, "size", "crop", "evaluation_batch")
        check(self, "data.", POSITIVE, "scale", "depth_scale")
        check(self, "data.", SHARE, "mirror", "cutout", "depth_faults", "modality_dropout")
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"data.scale: expected the smaller factor first, got {self.scale}")
