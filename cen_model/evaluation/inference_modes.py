# SPDX-License-Identifier: Apache-2.0
"""How a segmentation network is run in evaluation: at one scale or several, mirrored, whole or by windows.

Axes: B batch, C channels, K classes, H W the labels' pixels, h w those that the network is given.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.v2.functional import horizontal_flip

from cen_model.data.transforms import KINDS, Plane, is_indivisible
from cen_model.deploy.network_size import network_size, proportional
from cen_model.losses.segmentation import resize
from cen_model.modalities import normalize

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


@dataclass(frozen=True)
class InferenceConfig:
    """How a network sees a frame, and how several answers become one."""

    mode: Literal["single", "multi"] = "single"
    """Once, as the frame is; or at every one of `scales`, each also mirrored, and averaged."""
    scales: tuple[float, ...] = SCALES
    """Factors on the frame's size; of the mode "multi"."""
    flip: bool = True
    """Of the mode "multi"."""
    average: Literal["probabilities", "logits"] = "probabilities"
    """What is averaged over scales, mirrored views and overlapping windows. With probabilities every view has the
    same say; a mean of logits is led by the views whose logits are largest."""
    window: tuple[int, int] | None = None
    """Height and width in pixels of what the network sees at a time, such as its training crop, where images are much
    larger than that. None: the whole image."""
    stride: tuple[int, int] | None = None
    """Steps of the window; None takes two thirds of it."""
    size: tuple[int, int] | None = None
    """Height and width that a frame is resized to for the network (scale 1); None: the height that it was trained at
    with the frame's proportions, or as it is where the network does not say."""

    def __post_init__(self) -> None:
        if not self.scales or any(not 0 < scale < 16 for scale in self.scales):
            raise ValueError(f"scales: expected one or more factors between 0 and 16, got {list(self.scales)}")
        for name in ("window", "stride", "size"):
            value = getattr(self, name)
            if value is not None and min(value) < 1:
                raise ValueError(f"{name}: expected height and width of at least 1 pixel, got {list(value)}")
        if self.stride and not self.window:
            raise ValueError("stride: it is the step of a window; give window too")
        if self.stride and any(step > side for step, side in zip(self.stride, self.window, strict=True)):
            raise ValueError(f"stride: {list(self.stride)} is larger than the window {list(self.window)}: gaps stay")

    def views(self) -> list[tuple[float, bool]]:
        """(scale, mirrored) of everything that is averaged."""
        if self.mode == "single":
            return [(1.0, False)]
        return list(product(self.scales, (False, True) if self.flip else (False,)))

    def sizes(self, frame: tuple[int, int], input_height: int | None) -> list[tuple[int, int]]:
        """Return height and width of the image of each view; at scale 1 as `Predictor` has them too.

        Raises what `cen_model.deploy.network_size` raises; scales and windows count as the user's own choice.
        """
        if self.is_plain:
            return [network_size(frame, input_height, self.size)]
        whole = self.size or proportional(frame, input_height)
        sizes = [tuple(max(1, round(side * scale)) for side in whole) for scale, _ in self.views()]
        for size in sizes:
            network_size(frame, input_height, tuple(map(min, size, self.window or size)))
        return sizes

    @property
    def is_plain(self) -> bool:
        """Whether one pass gives the answer, nothing being averaged."""
        return len(self.views()) == 1 and self.window is None

    @property
    def gives_probabilities(self) -> bool:
        """Whether scores are averages of probabilities; if not, they are logits."""
        return not self.is_plain and self.average == "probabilities"


@torch.no_grad()
def predict(
    model: nn.Module, images: Mapping[str, Tensor], size: tuple[int, int], config: InferenceConfig
) -> dict[str, Tensor]:
    """Class scores (B, K, H, W) of every output, at `size`; the largest is the label.

    Args:
        model: in evaluation mode.
        images: raw values (B, C, h, w) by modality, as `cen_model.modalities.normalize` takes them, on its device.
        size: of the labels, (H, W).

    Returns:
        Logits by the network's temperature, bilinearly resized, where nothing is averaged or logits are; else averages
        of probabilities.
    """
    frame = next(iter(images.values())).shape[-2:]
    total: dict[str, Tensor] = {}
    views = config.views()
    for (_, mirrored), scaled in zip(views, config.sizes(tuple(frame), model.config.input_height), strict=True):
        seen = {name: _resized(name, image, scaled) for name, image in images.items()}
        if mirrored:
            seen = {name: _mirrored(name, image) for name, image in seen.items()}
        for name, scores in _by_windows(model, seen, config).items():
            scores = scores.flip(-1) if mirrored else scores
            scores = resize(scores, size)
            if config.window is None:
                scores = _averageable(scores, config)
            total[name] = total[name].add_(scores) if name in total else scores
    return {name: scores / len(views) for name, scores in total.items()} if len(views) > 1 else total


def probability(scores_KHW: Tensor, config: InferenceConfig) -> Tensor:
    """Return the probability of the label, float (H, W), of the class scores that `predict` gives for a frame."""
    if not config.is_plain and config.average == "probabilities":
        return scores_KHW.amax(0)
    return (scores_KHW - scores_KHW.amax(0)).exp_().sum(0).reciprocal_()


def windows(image: tuple[int, int], window: tuple[int, int], stride: tuple[int, int] | None) -> Iterator[tuple]:
    """The slices (rows, columns) of windows that cover an image; the last of a row or column ends at its border."""
    starts = []
    for side, length, step in zip(image, window, stride or [math.ceil(side * 2 / 3) for side in window], strict=True):
        last = max(0, side - length)
        starts.append([min(i * step, last) for i in range(math.ceil(last / step) + 1)])
    for top, left in product(*starts):
        yield slice(top, top + window[0]), slice(left, left + window[1])


def _by_windows(model: nn.Module, images: Mapping[str, Tensor], config: InferenceConfig) -> dict[str, Tensor]:
    """Logits (B, K, h/4, w/4) of whole images, or the average (B, K, h, w) of what windows say of each pixel."""
    if config.window is None:
        return _outputs(model, images)
    size = tuple(next(iter(images.values())).shape[-2:])
    total: dict[str, Tensor] = {}
    count_hw = torch.zeros(size, device=next(iter(images.values())).device)
    for rows, columns in windows(size, config.window, config.stride):
        parts = {name: image[..., rows, columns] for name, image in images.items()}
        part_size = tuple(next(iter(parts.values())).shape[-2:])
        count_hw[rows, columns] += 1
        for name, logits in _outputs(model, parts).items():
            if name not in total:
                total[name] = logits.new_zeros(*logits.shape[:2], *size)
            total[name][..., rows, columns] += _averageable(resize(logits, part_size), config)
    return {name: scores / count_hw for name, scores in total.items()}


def _outputs(model: nn.Module, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
    normalized = {name: normalize(name, image, model.config.normalization) for name, image in images.items()}
    inputs = {name: image.contiguous(memory_format=torch.channels_last) for name, image in normalized.items()}
    return {name: logits.float() / model.config.temperature for name, logits in model(inputs).items()}


def _averageable(logits: Tensor, config: InferenceConfig) -> Tensor:
    return logits if config.is_plain or config.average == "logits" else logits.softmax(1)


def _resized(name: str, image_BChw: Tensor, size: tuple[int, int]) -> Tensor:
    """Raw values at another size: depth and segments nearest, for the mean of two is neither; all else bilinear."""
    if tuple(image_BChw.shape[-2:]) == size:
        return image_BChw
    image = image_BChw.float()
    if is_indivisible(name):
        return F.interpolate(image, size=size, mode="nearest")
    return F.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)


def _mirrored(name: str, image_BChw: Tensor) -> Tensor:
    """Left and right exchanged, and what a mirror does to the values, such as normals."""
    return horizontal_flip(KINDS.get(name, Plane)(image_BChw)).as_subclass(Tensor)
