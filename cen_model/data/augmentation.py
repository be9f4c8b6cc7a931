# SPDX-License-Identifier: Apache-2.0
"""Random views of samples, for training: see `cen_model.data.transforms` for what a sample is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from cen_model.data.data_config import DataConfig
from cen_model.data.depth_faults import DepthFaults
from cen_model.data.transforms import NEUTRAL, Depth, Meters, Plane, Sample

_BILINEAR = v2.InterpolationMode.BILINEAR
_ERASED_SIDE = (0.1, 0.4)
"""Range of a cutout's sides, as shares of the image's."""


class RandomScale(v2.Transform):
    """Resize by one random factor from the uniform range `factors`, raised where the shorter side would get too short.

    Args:
        factors: lowest and highest.
        min_side: pixels of the shorter side of the result, at least.
        moves: divide depth in meters by the factor, as if the camera had come nearer.
    """

    def __init__(self, factors: tuple[float, float], min_side: int = 0, moves: bool = False):
        super().__init__()
        self.factors, self.min_side, self.moves = factors, min_side, moves

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = v2.query_size(flat_inputs)
        factor = max(float(torch.empty(()).uniform_(*self.factors)), self.min_side / min(height, width))
        return {"size": [round(height * factor), round(width * factor)], "factor": factor}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        resized = self._call_kernel(v2.functional.resize, inpt, size=params["size"], antialias=True)
        nearer = self.moves and isinstance(inpt, Depth)
        return tv_tensors.wrap(resized / params["factor"], like=inpt) if nearer else resized


class ColorJitter(v2.ColorJitter):
    """torchvision's, of photographs alone."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return inpt if isinstance(inpt, Plane) else super().transform(inpt, params)


class Cutout(nn.Module):
    """With `probability`, one random rectangle of all images named is blanked (DeVries & Taylor 2017); labels stay."""

    def __init__(self, names: Sequence[str], probability: float):
        super().__init__()
        self.names, self.probability = names, probability

    def forward(self, sample: Sample) -> Sample:
        drawn, *numbers = torch.rand(5).tolist()
        if drawn >= self.probability:
            return sample
        shortest, longest = _ERASED_SIDE
        rectangle = []
        for side, length, position in zip(sample[self.names[0]].shape[-2:], numbers[:2], numbers[2:], strict=True):
            erased = max(1, round(side * (shortest + (longest - shortest) * length)))
            start = round((side - erased) * position)
            rectangle.append(slice(start, start + erased))
        return sample | {name: _blanked(sample[name], rectangle) for name in self.names}


class ModalityDropout(nn.Module):
    """With `probability`, one random modality of several is blank as a whole: as if its sensor were missing."""

    def __init__(self, names: Sequence[str], probability: float):
        super().__init__()
        self.names, self.probability = names, probability

    def forward(self, sample: Sample) -> Sample:
        drawn, which = torch.rand(2).tolist()
        if len(self.names) < 2 or drawn >= self.probability:
            return sample
        name = self.names[int(which * len(self.names))]
        return sample | {name: _blanked(sample[name], [slice(None), slice(None)])}


def training_transform(data: DataConfig, inputs: Sequence[str]) -> v2.Transform:
    """Random scale, rotation, crop (padded where the frame is smaller), mirror, jitter, cutout, depth faults, dropout.

    Every random decision is drawn from PyTorch's global CPU generator, on whatever device the sample is.

    Args:
        data: crop, range of scales, probabilities and strengths.
        inputs: modalities that the network sees. Others are moved with them, but never jittered or blanked.
    """
    fill = {kind: values if len(values) > 1 else values[0] for kind, values in NEUTRAL.items()}
    jitter = dict.fromkeys(("brightness", "contrast", "saturation"), data.jitter if "rgb" in inputs else 0.0)
    return v2.Compose(
        [
            Meters(),
            RandomScale(data.scale, data.min_side, data.scale_depth),
            *([v2.RandomRotation(data.rotation, _BILINEAR, fill=fill)] if data.rotation else []),
            v2.RandomCrop(data.crop, pad_if_needed=True, fill=fill),
            v2.RandomHorizontalFlip(data.mirror),
            ColorJitter(**jitter),
            Cutout(inputs, data.cutout),
            *([DepthFaults(data.depth_faults)] if data.depth_faults and "depth" in inputs else []),
            ModalityDropout(inputs, data.modality_dropout),
        ]
    )


def _blanked(image: Tensor, rectangle: Sequence[slice]) -> Tensor:
    blank = image.clone()
    for plane, value in zip(blank.unbind(-3), cycle(NEUTRAL[type(image)]), strict=False):
        plane[tuple(rectangle)] = value
    return blank
