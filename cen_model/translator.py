# SPDX-License-Identifier: Apache-2.0
"""numpy in, numpy out for image-to-image translation: the sibling of the Predictor.

Axes: B = 1, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cen_model.checkpoint import load
from cen_model.data.transforms import Meters, to_sample
from cen_model.deploy.network_size import network_size
from cen_model.modalities import IN_METERS, image_to_8bit, modality, to_image
from cen_model.nn.network import MultimodalNetwork
from cen_model.nn.unet import MULTIPLE, InstanceNorm
from cen_model.utils.devices import default_device


@dataclass(frozen=True)
class Translation:
    """What the network makes of one set of images, each uint8 (H, W, C) at the size of the inputs.

    An image of depth is the logarithmic one of `cen_model.modalities`.

    Attributes:
        image: the ensemble's.
        by_modality: the images that every modality's own stream gives; empty where the streams were merged.
    """

    image: np.ndarray
    by_modality: Mapping[str, np.ndarray]


class Translator:
    """A translation network ready for raw arrays.

    Args:
        model: a translation network in evaluation mode.
        device: "cpu", "cuda", "cuda:1", …; None takes a GPU where there is one.
        dropout: leave dropout on, as the published code does; the result is then a random one.
        running_statistics: normalize with the statistics gathered in training instead of each image's own.

    Raises:
        ValueError: the network is not one for translation.
    """

    def __init__(
        self,
        model: MultimodalNetwork,
        device: str | None = None,
        dropout: bool = False,
        running_statistics: bool = False,
    ) -> None:
        if model.config.task != "translation":
            raise ValueError(f"expected a translation network, got one for {model.config.task}: use Predictor")
        self.device = torch.device(device or default_device())
        self._model = model.to(self.device)
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.train(dropout)
            elif isinstance(module, InstanceNorm):
                module.use_running_statistics = running_statistics

    @classmethod
    def load(
        cls,
        path_or_name: str | Path,
        device: str | None = None,
        dropout: bool = False,
        running_statistics: bool = False,
    ) -> Translator:
        """Read a checkpoint, or shipped weights by their name; see `cen_model.load` for what is raised."""
        return cls(load(path_or_name), device, dropout, running_statistics)

    @torch.inference_mode()
    def translate(self, images: Mapping[str, np.ndarray]) -> Translation:
        """Translate one set of registered images, all of one size.

        For the network they are resized, as in training, to the nearest multiples of 256 pixels (depth and segments
        nearest, all others bilinear), and its answer back to their size (bilinear).

        Args:
            images: by modality. "depth" and "zbuffer" uint16 in millimeters or float in meters (H, W), a hole (0, NaN,
                inf or negative) as 0 m; all others uint8 (H, W) or (H, W, C).

        Raises:
            ValueError: a modality is missing, or an image of another type or shape.
        """
        names = self._model.config.modalities
        for name in names:
            _check(name, images, names[0], self._model.in_channels)
        height, width = images[names[0]].shape[:2]
        # The functions of training, and none like them: other units or holes, and the answer is wrong without a word.
        raw = to_sample({name: _single(images[name]) for name in names}, names, input_size(height, width))
        inputs = {name: to_image(name, values[None].to(self.device)) for name, values in Meters()(raw).items()}
        outputs = self._model(inputs)
        arrays = {name: _to_uint8(_resized(output, (height, width))) for name, output in outputs.items()}
        return Translation(arrays.pop("ensemble"), arrays)


def input_size(height: int, width: int) -> tuple[int, int]:
    """Return the nearest size in pixels that the network takes. Raises ValueError beyond the bounds of any network."""
    nearest = tuple(max(1, round(side / MULTIPLE)) * MULTIPLE for side in (height, width))
    return network_size((height, width), None, nearest)


def _resized(image_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    if image_BCHW.shape[-2:] == size:
        return image_BCHW
    return F.interpolate(image_BCHW, size=size, mode="bilinear", align_corners=False, antialias=True)


def _to_uint8(image_BCHW: Tensor) -> np.ndarray:
    image = image_to_8bit(image_BCHW[0])
    return image.permute(1, 2, 0).contiguous().cpu().numpy()


def _single(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32, copy=False) if image.dtype.kind == "f" else image


def _check(name: str, images: Mapping[str, np.ndarray], first: str, channels: int) -> None:
    if name not in images:
        raise ValueError(f"{name}: missing; got images of {', '.join(images) or 'no modality'}")
    image, got = images[name], f"got {images[name].dtype} {images[name].shape}"
    if name in IN_METERS:
        _check_depth(name, image, got)
    else:
        _check_8bit(name, image, channels, got)
    size = images[first].shape[:2]
    if image.shape[:2] != size:
        raise ValueError(f"{name}: expected an image of {size[0]}×{size[1]} pixels as {first} has, {got}")


def _check_depth(name: str, image: np.ndarray, got: str) -> None:
    if (image.dtype != np.uint16 and image.dtype.kind != "f") or image.ndim != 2 or not image.size:
        raise ValueError(
            f"{name}: expected uint16 millimeters or float meters (H, W), as they were measured, for the network takes "
            f"their logarithm; {got}"
        )


def _check_8bit(name: str, image: np.ndarray, channels: int, got: str) -> None:
    depth = image.shape[2] if image.ndim == 3 else 1
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or not image.size or channels % depth:
        usual = modality(name).channels
        raise ValueError(f"{name}: expected uint8 (H, W) or (H, W, C), C dividing {channels} (usually {usual}), {got}")
