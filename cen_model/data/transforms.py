# SPDX-License-Identifier: Apache-2.0
"""Joint transforms of a sample of registered images, built on torchvision's v2 transforms and `tv_tensors`.

A sample is a dict of tensors of one height and width: ``rgb`` Image uint8 (3, H, W), ``depth`` Depth (1, H, W), every
other modality Plane or Segments uint8 (C, H, W), and ``label`` Mask uint8 (H, W) with 255 = void, where there is one.
Geometry acts on all of them alike: images bilinear, depth, segments and labels nearest (an average of two depths, or of
two class ids, is neither). Photometric jitter acts on the color image alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from cen_model.classes import VOID
from cen_model.modalities import IMAGENET_MEAN

Sample = dict[str, Tensor]


class Depth(tv_tensors.Mask):
    """A depth map, 0 = hole: moved like a mask (nearest), but with its own padding value."""


class Segments(tv_tensors.Mask):
    """An image whose colors tell regions apart: moved like a mask, for between two of them there is no third."""


class Plane(tv_tensors.Image):
    """An 8-bit image of a property of the surfaces: moved like a color image, but no light falls on it."""


class Normals(Plane):
    """Surface normals, (n + 1) · 127.5 in 8 bits: in a mirror n_x changes its sign, and a rotation turns (n_x, n_y)."""


@v2.functional.register_kernel(v2.functional.horizontal_flip, Normals)
def _mirror_normals(normals: Normals) -> Normals:
    mirrored = v2.functional.horizontal_flip_image(normals.as_subclass(Tensor))
    mirrored[..., 0, :, :] = 255 - mirrored[..., 0, :, :]
    return tv_tensors.wrap(mirrored, like=normals)


@v2.functional.register_kernel(v2.functional.rotate, Normals)
def _rotate_normals(normals: Normals, angle: float, *arguments: Any, **options: Any) -> Normals:
    rotated = v2.functional.rotate_image(normals.as_subclass(Tensor), angle, *arguments, **options)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))  # counterclockwise, and y points down
    x, y, z = (rotated.float() - 127.5).unbind(-3)
    vectors = torch.stack([cosine * x + sine * y, cosine * y - sine * x, z], dim=-3)
    return tv_tensors.wrap((vectors + 127.5).round().clamp(0, 255).to(normals.dtype), like=normals)


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
