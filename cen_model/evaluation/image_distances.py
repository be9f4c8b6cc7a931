# SPDX-License-Identifier: Apache-2.0
"""How near translated images come to the real ones.

Axes: B batch, C channels, H W pixels, D features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from cen_model.data.data_config import DataConfig
from cen_model.data.dataset import Dataset
from cen_model.data.loaders import evaluation_loader
from cen_model.evaluation.fidelity import distances
from cen_model.evaluation.frame_subset import Chosen
from cen_model.evaluation.metrics import ImageScores
from cen_model.evaluation.missing_modality import without
from cen_model.modalities import image_to_8bit, measured, to_image
from cen_model.nn.network import MultimodalNetwork
from cen_model.translator import Translator, input_size
from cen_model.utils.ranks import Ranks

SIZE = (256, 256)
"""Height and width of images in the paper."""
REAL = "real"


@dataclass(frozen=True)
class TranslationOptions:
    """How a generator is run in evaluation."""

    dropout: bool = False
    """Translation: leave dropout on, as the published code does; the images are then random ones."""
    running_statistics: bool = False
    """Translation: normalize with the statistics gathered in training, not with each image's own as published."""


@dataclass(frozen=True)
class _Frame:
    """Of one image: mean absolute and mean squared error where the real one was measured; Inception's features (D,)."""

    mae: float
    mse: float
    features: Tensor | None


class Generator:
    """A translation network with the frames of a dataset.

    Args:
        model: on its device; it is left in evaluation mode, as `options` say.
        dataset: with the network's modalities and its target.
        data: how frames are read. Inputs and real images are resized to the size that the network takes nearest to
            `size`, whose margin for random crops is training's; without one to the paper's 256×256.
        drop: modalities that are missing from every frame.

    Attributes:
        target: the modality that is made.
    """

    def __init__(
        self,
        model: MultimodalNetwork,
        dataset: Dataset,
        data: DataConfig,
        options: TranslationOptions,
        drop: tuple[str, ...] = (),
    ) -> None:
        self._device = next(model.parameters()).device
        Translator(model.eval(), str(self._device), options.dropout, options.running_statistics)  # sets the layers
        self._model, self._dataset, self._drop = model, dataset, drop
        self._data = replace(data, size=input_size(*(data.size or SIZE)))
        self._inputs = [name for name in model.config.modalities if name not in drop]
        self.target = model.config.target
        self._names = (*self._inputs, self.target)

    def batches(self, ranks: Ranks) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
        """Indices of the frames, and images (B, C, H, W) in [-1, 1] by output, and "real", of a process's share."""
        data = self._data
        for batch in evaluation_loader(self._dataset, data, self._names, data.evaluation_batch, ranks):
            yield batch["index"].tolist(), self._outputs(batch)

    def images_of(self, index: int) -> dict[str, Tensor]:
        """Of one frame: the inputs, "real", and the outputs, "by …": (1, C, H, W) in [-1, 1]."""
        one = Chosen(self._dataset, [index])
        batch = next(iter(evaluation_loader(one, replace(self._data, workers=0), self._names, 1)))
        inputs = {name: to_image(name, batch[name]) for name in self._inputs}
        outputs = self._outputs(batch)
        return {**inputs, REAL: outputs.pop(REAL), **{f"by {name}": image for name, image in outputs.items()}}

    @torch.no_grad()
    def _outputs(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        real = to_image(self.target, batch[self.target].to(self._device))
        raw = {name: batch[name].to(self._device) for name in self._inputs}
        raw |= {name: without(name, real) for name in self._drop}
        outputs = self._model({name: to_image(name, values) for name, values in raw.items()})
        # The published code makes three equal channels of every target.
        return {**outputs, REAL: real.expand_as(outputs["ensemble"])}


def measure_images(
    generator: Generator,
    inception: nn.Module | None = None,
    watch: Callable[[int, float], None] | None = None,
) -> dict[str, ImageScores]:
    """Scores of every output, with those processes together that are joined.

    Args:
        inception: images uint8 (B, 3, H, W) → features (B, D), on the model's device; None leaves FID and KID out.
        watch: is told the index of every frame of this process, and the ensemble's mean absolute error on it.
    """
    ranks = Ranks.current()
    parts: list[tuple[int, dict[str, _Frame]]] = []
    for indices, images in generator.batches(ranks):
        known = measured(generator.target, images[REAL])
        batch = {name: _frames(image, images[REAL], known, inception) for name, image in images.items()}
        for place, index in enumerate(indices):
            parts.append((index, {name: frames[place] for name, frames in batch.items()}))
            if watch:
                watch(index, batch["ensemble"][place].mae)
    frames = ranks.gather(parts)
    by_output = {name: [frame[name] for frame in frames] for name in frames[0]}
    real = by_output.pop(REAL)
    return {name: _scores(each, real if inception else None) for name, each in by_output.items()}


@torch.no_grad()
def _frames(image_BCHW: Tensor, real_BCHW: Tensor, known_BCHW: Tensor, inception: nn.Module | None) -> list[_Frame]:
    difference = ((image_BCHW - real_BCHW).double() * known_BCHW).flatten(1)
    measured_B = known_BCHW.flatten(1).sum(1).clamp(min=1)
    features = [None] * len(image_BCHW)
    if inception is not None:
        colored = image_to_8bit(image_BCHW).expand(-1, 3, -1, -1)
        features = list(inception(colored).float().cpu())
    absolute, squared = (error.sum(1) / measured_B for error in (difference.abs(), difference.square()))
    return [_Frame(*each) for each in zip(absolute.tolist(), squared.tolist(), features, strict=True)]


def _scores(frames: list[_Frame], real: list[_Frame] | None) -> ImageScores:
    mae, mse = (sum(getattr(frame, key) for frame in frames) / len(frames) for key in ("mae", "mse"))
    scores = ImageScores(mae, mse, math.sqrt(mse))
    if real is None:
        return scores
    fid, kid = distances(*(torch.stack([frame.features for frame in each]) for each in (real, frames)))
    return replace(scores, fid=fid, kid=kid)
