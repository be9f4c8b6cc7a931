# SPDX-License-Identifier: Apache-2.0
"""One way to take training steps, as a contestant.

Axes: B batch, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cen_model.benchmark.reference import ListNetwork, exchange_a_third
from cen_model.config import SegmentationConfig
from cen_model.losses.segmentation import losses
from cen_model.modalities import modality
from cen_model.models import build
from cen_model.training.recompute import recompute
from cen_model.utils.process_settings import keep_freed_memory, return_large_blocks

PENALTY = 5e-3
LEARNING_RATE = 1e-5
"""So small that nothing diverges: the labels are random."""


@dataclass(frozen=True)
class TrainingEntry:
    """What is to be measured; a turn is one step, its answer the loss.

    Attributes:
        network: RefineNet of two modalities.
        way: "published" for the paper's way to run it, "ours", or "frugal": ours, keeping less for the backward pass.
        precision: of convolutions, by autocast; weights stay in float32.
        channels_last: memory layout of ours.
        compiled: by torch.compile.
        frozen: running statistics instead of the batch's.
    """

    network: SegmentationConfig
    way: Literal["published", "ours", "frugal"]
    precision: str = "fp32"
    channels_last: bool = False
    compiled: bool = False
    batch: int = 2
    size: tuple[int, int] = (240, 320)
    frozen: bool = False
    device: str = "cpu"

    @property
    def name(self) -> str:
        options = {"channels last": self.channels_last, "compiled": self.compiled}
        return ", ".join([self.way, *(name for name, chosen in options.items() if chosen)])

    def set_process(self) -> None:
        if self.way != "published":
            (return_large_blocks if self.way == "frugal" else keep_freed_memory)()

    def prepare(self) -> Callable[[], float]:
        torch.manual_seed(0)
        network: nn.Module = exchange_a_third(build(self.network), seed=0)
        if self.way == "published":
            network = ListNetwork(network)
        elif self.channels_last:
            network.to(memory_format=torch.channels_last)
        if self.way == "frugal":
            recompute(network)
        network.to(self.device).train()
        for norm in (module for module in network.modules() if self.frozen and isinstance(module, nn.BatchNorm2d)):
            norm.eval()
        return Step(self, network)

    def images(self) -> dict[str, Tensor]:
        """Random network inputs (B, C, H, W)."""
        generator = torch.Generator().manual_seed(0)
        shapes = {name: (self.batch, modality(name).channels, *self.size) for name in self.network.modalities}
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        images = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        return {name: image.to(self.device, memory_format=layout) for name, image in images.items()}


class Step:
    """Forward pass, loss, backward pass and SGD with momentum, on the same images every time."""

    def __init__(self, entry: TrainingEntry, network: nn.Module) -> None:
        self.device, self.precision = torch.device(entry.device), entry.precision
        self.images = entry.images()
        generator = torch.Generator().manual_seed(0)
        classes = len(entry.network.classes)
        target = torch.randint(0, classes, (entry.batch, *entry.size), generator=generator)
        self.target = target.to(torch.uint8).to(self.device)
        self.network = network
        self.run = torch.compile(network) if entry.compiled else network
        self.optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=0.9)

    def __call__(self) -> float:
        loss = self.loss()
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return loss.item()

    def loss(self) -> Tensor:
        """Eq. 4 on the images."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            outputs: Mapping[str, Tensor] = self.run(self.images)
            return sum(losses(outputs, self.target).values()) + PENALTY * self.network.sparsity()


def flops(entry: TrainingEntry) -> int:
    """Of the network's convolutions and matrix products in a step, without the loss and what is computed again."""
    images = {name: image.to("meta") for name, image in entry.images().items()}
    with torch.device("meta"):
        network = build(entry.network).train()
    with FlopCounterMode(display=False) as counter:
        sum(output.sum() for output in network(images).values()).backward()
    return counter.get_total_flops()
