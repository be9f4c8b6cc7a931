# SPDX-License-Identifier: Apache-2.0
"""A whole frame as one module: raw sensor values in, label bytes out.

Axes: K classes, H W the sensor's pixels, h w the network's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cen_model.config import SegmentationConfig
from cen_model.deploy.network_size import network_size
from cen_model.modalities import normalize
from cen_model.nn.grouping import resized_groups, to_labels
from cen_model.nn.network import MultimodalNetwork

Branch = Literal["ensemble", "rgb", "depth"]


@dataclass(frozen=True)
class FrameConfig:
    """What an engine is built for.

    Attributes:
        sensor: (height, width) of the images in pixels.
        network: (height, width) that they are resized to for the network.
        branch: the output that is taken; with one modality's own, only its decoder runs.
        confidence: whether the probability of the label is computed too.
        groups: the label that each class becomes, as `cen_model.label_groups.LabelGroups.ids` has them; probabilities
            are then summed by label. Empty: each class is its own label.
    """

    sensor: tuple[int, int]
    network: tuple[int, int]
    branch: Branch = "ensemble"
    confidence: bool = False
    groups: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        config: SegmentationConfig,
        sensor: tuple[int, int],
        size: tuple[int, int] | None = None,
        branch: Branch = "ensemble",
        confidence: bool = False,
        groups: tuple[int, ...] = (),
    ) -> FrameConfig:
        """Return what fits a network; its size is `size` or follows from the image's, and raises, by `network_size`."""
        return cls(sensor, network_size(sensor, config.input_height, size), branch, confidence, groups)


class Frame(nn.Module):
    """One frame, from sensor values to labels, with static shapes: what is exported.

    Args:
        model: a segmentation network of rgb, depth or both, in evaluation mode.
        config: sizes and outputs.

    Raises:
        ValueError: the network is not such a network, or has no output of the branch's name.
    """

    def __init__(self, model: MultimodalNetwork, config: FrameConfig) -> None:
        super().__init__()
        check(model.config, config.branch)
        self.model = model
        self.config = config

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The network's modalities, in its order.

        Args:
            inputs: for rgb, uint8 (H, W, 3); for depth, float32 (H, W) in the sensor's unit, and float32 (1,), how many
                of that unit make a meter. A hole (0, NaN, inf or negative) reaches the network as 0 m; nothing is
                filled in, and resizing is nearest-neighbor so that holes do not bleed into surfaces.

        Returns:
            Labels uint8 (H, W), and with `confidence` the label's probability, uint8 (H, W), 255 being certain. With
            `groups`, a pixel that is likeliest of a class that becomes void has the label 255.
        """
        if self.config.groups:
            return self._grouped(self.logits(*inputs))
        logits = F.interpolate(self.logits(*inputs), size=self.config.sensor, mode="bilinear", align_corners=False)
        labels = logits.argmax(1)[0].to(torch.uint8)
        if not self.config.confidence:
            return (labels,)
        # The largest of a softmax is 1 / Σ exp(x - max x): a reduction less than to take them all.
        logits = logits.float()
        probability = (logits - logits.amax(1, keepdim=True)).exp().sum(1)[0].reciprocal()
        return labels, (255 * probability).round().to(torch.uint8)

    def logits(self, *inputs: Tensor) -> Tensor:
        """The same inputs → what labels and probabilities are taken from, (1, K, h/4, w/4) or h/8 with a PSPNet."""
        given = iter(inputs)
        images = {}
        for name in self.model.config.modalities:
            image = self._rgb(next(given)) if name == "rgb" else self._depth(next(given), next(given))
            images[name] = normalize(name, image, self.model.config.normalization)
        logits, temperature = self.model(images)[self.config.branch], self.model.config.temperature
        return logits if temperature == 1 else logits / temperature

    def _grouped(self, logits_1Khw: Tensor) -> tuple[Tensor, ...]:
        """Return what `forward` does, of groups."""
        groups = resized_groups(logits_1Khw, self.config.groups, self.config.sensor)
        labels = to_labels(groups.argmax(1)[0], self.config.groups).to(torch.uint8)
        if not self.config.confidence:
            return (labels,)
        probability = (groups.amax(1) / groups.sum(1))[0]
        return labels, (255 * probability).round().to(torch.uint8)

    def example(self) -> tuple[Tensor, ...]:
        """Inputs of the right types and shapes, on the network's device."""
        device = next(self.model.parameters()).device
        height, width = self.config.sensor
        rgb = torch.zeros(height, width, 3, dtype=torch.uint8, device=device)
        depth = torch.ones(height, width, device=device), torch.ones(1, device=device)
        return tuple(x for name in self.model.config.modalities for x in ((rgb,) if name == "rgb" else depth))

    def _rgb(self, rgb_HW3: Tensor) -> Tensor:
        image = rgb_HW3.permute(2, 0, 1).unsqueeze(0).float()
        if self.config.network == self.config.sensor:
            return image
        return F.interpolate(image, size=self.config.network, mode="bilinear", antialias=True, align_corners=False)

    def _depth(self, depth_HW: Tensor, per_meter_1: Tensor) -> Tensor:
        for axis, (sensor, network) in enumerate(zip(self.config.sensor, self.config.network, strict=True)):
            if sensor != network:
                # What interpolate's "nearest" picks. Every backend knows an index; resizing, they round differently.
                positions = torch.arange(sensor, dtype=torch.float32).view(1, 1, -1)
                index = F.interpolate(positions, size=network, mode="nearest").flatten().long()
                depth_HW = depth_HW.index_select(axis, index.to(depth_HW.device))
        return (depth_HW / per_meter_1)[None, None]


def check(config: SegmentationConfig, branch: str) -> None:
    """Raise ValueError unless frames of rgb and depth can be labeled by that branch of the network."""
    if config.task != "segmentation":
        raise ValueError(f"expected a segmentation network, got one for {config.task}: use Translator")
    if not set(config.modalities) <= {"rgb", "depth"}:
        raise ValueError(f"expected a network of rgb and depth, got one of {', '.join(config.modalities)}")
    if branch not in (*config.streams, "ensemble"):
        raise ValueError(f"branch {branch!r}: this network has {', '.join((*config.streams, 'ensemble'))}")
