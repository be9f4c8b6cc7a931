# SPDX-License-Identifier: Apache-2.0
"""Joint transforms of a sample of registered images, built on torchvision's v2 transforms and `tv_tensors`.

A sample is a dict of tensors of one height and width: ``rgb`` Image uint8 (3, H, W), ``depth`` Depth (1, H, W), every
other modality Plane or Segments uint8 (C, H, W), and ``label`` Mask uint8 (H, W) with 255 = void, where there is one.
Geometry acts on all of them alike: images bilinear, depth, segments and labels nearest (an average of two depths, or of
two class ids, is neither). Photometric jitter acts on the color image alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from cen_model.classes import VOID
from cen_model.data.data_config import DataConfig
from cen_model.modalities import IMAGENET_MEAN

Sample = dict[str, Tensor]

_ERASED_SIDE = (0.1, 0.4)
"""Range of a cutout's sides, as shares of the image's."""


class Depth(tv_tensors.Mask):
    """A depth map, 0 = hole: moved like a mask (nearest), but with its own padding value."""


class Segments(tv_tensors.Mask):
    """An image whose colors tell regions apart: moved like a mask, for between two of them there is no third."""


class Plane(tv_tensors.Image):
    """An 8-bit image of a property of the surfaces: moved like a color image, but no light falls on it."""


class Normals(Plane):
    """Surface normals, (n + 1) · 127.5 in 8 bits: in a mirror, n_x changes its sign."""


@v2.functional.register_kernel(v2.functional.horizontal_flip, Normals)
def _mirror_normals(normals: Normals) -> Normals:
    mirrored = v2.functional.horizontal_flip_image(normals.as_subclass(Tensor))
    mirrored[..., 0, :, :] = 255 - mirrored[..., 0, :, :]
    return tv_tensors.wrap(mirrored, like=normals)


KINDS = {
    "rgb": tv_tensors.Image,
    "depth": Depth,
    "zbuffer": Depth,
    "normal": Normals,
    "segment2d": Segments,
    "segment25d": Segments,
    "label": tv_tensors.Mask,
}
"""Of tensors by name; all others are `Plane`."""


def is_indivisible(name: str) -> bool:
    """Whether an image is resized by taking the nearest pixel: an average of its values is none of them."""
    return issubclass(KINDS.get(name, Plane), tv_tensors.Mask)


NEUTRAL: dict[type[Tensor], Sequence[int]] = {
    tv_tensors.Image: tuple(round(255 * mean) for mean in IMAGENET_MEAN),
    Depth: (0,),
    Segments: (128,),
    Plane: (128,),
    Normals: (128,),
    tv_tensors.Mask: (VOID,),
}
"""What stands where nothing is known: a hole in depth, void in labels, otherwise what is 0 once normalized as usual."""


class Meters(v2.Transform):
    """Depth in uint16 millimeters becomes float32 meters; all else is left."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if isinstance(inpt, Depth) and inpt.dtype == torch.uint16:
            return tv_tensors.wrap(inpt.float() / 1000, like=inpt)
        return inpt


class RandomScale(v2.Transform):
    """Resize by one random factor from the uniform range `factors`, raised where the shorter side would get too short.

    Args:
        factors: lowest and highest.
        min_side: pixels of the shorter side of the result, at least.
    """

    def __init__(self, factors: tuple[float, float], min_side: int = 0):
        super().__init__()
        self.factors, self.min_side = factors, min_side

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = v2.query_size(flat_inputs)
        factor = max(float(torch.empty(()).uniform_(*self.factors)), self.min_side / min(height, width))
        return {"size": [round(height * factor), round(width * factor)]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._call_kernel(v2.functional.resize, inpt, size=params["size"], antialias=True)


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
    """Random scale, crop (padded where the scaled frame is smaller), mirror, photometric jitter, cutout and dropout.

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
            RandomScale(data.scale, data.min_side),
            v2.RandomCrop(data.crop, pad_if_needed=True, fill=fill),
            v2.RandomHorizontalFlip(data.mirror),
            ColorJitter(**jitter),
            Cutout(inputs, data.cutout),
            ModalityDropout(inputs, data.modality_dropout),
        ]
    )


def to_sample(frame: Mapping[str, np.ndarray], names: Sequence[str], size: tuple[int, int] | None = None) -> Sample:
    """Sample of a frame as datasets give it, in the frame's own types.

    Args:
        frame: arrays (H, W) or (H, W, C); see `cen_model.data.dataset`.
        names: modalities that are wanted; the label comes with them where the frame has one.
        size: height and width to resize to; None leaves the frame's own.

    Raises:
        ValueError: the frame lacks a modality.
    """
    if missing := [name for name in names if name not in frame]:
        raise ValueError(f"frames have {', '.join(frame)}; missing {', '.join(missing)}")
    wanted = [*names, "label"] if "label" in frame else names
    sample = {name: _to_tensor(name, frame[name]) for name in wanted}
    return v2.Resize(size, antialias=True)(sample) if size else sample


def from_sample(sample: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Return a frame of arrays, (H, W) or (H, W, C), of a sample; without its index."""
    arrays = {name: tensor.numpy() for name, tensor in sample.items() if name != "index"}
    return {
        name: array if array.ndim == 2 else (array[0] if len(array) == 1 else array.transpose(1, 2, 0))
        for name, array in arrays.items()
    }


def _to_tensor(name: str, array: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(np.require(array, requirements=["C", "W"]))
    if name != "label":
        tensor = tensor.permute(2, 0, 1).contiguous() if tensor.ndim == 3 else tensor[None]
    return KINDS.get(name, Plane)(tensor)


def _blanked(image: Tensor, rectangle: Sequence[slice]) -> Tensor:
    blank = image.clone()
    for plane, value in zip(blank.unbind(-3), cycle(NEUTRAL[type(image)]), strict=False):
        plane[tuple(rectangle)] = value
    return blank
