# SPDX-License-Identifier: Apache-2.0
"""Training of image-to-image translation: a generator against a discriminator (§ 4.2, pix2pix).

Axes: B batch, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from cen_model.data.dataset import Dataset
from cen_model.evaluation.image_distances import Generator, TranslationOptions, measure_images
from cen_model.evaluation.metrics import ImageScores
from cen_model.losses.translation import discriminator_loss, generator_losses, judge
from cen_model.modalities import image_to_8bit, measured, modality, to_image
from cen_model.models import build
from cen_model.nn.discriminator import Discriminator
from cen_model.nn.network import MultimodalNetwork
from cen_model.training.optimizer import build_discriminator_optimizer, build_optimizer
from cen_model.training.run_config import TranslationTrainConfig
from cen_model.training.sharding import Whole
from cen_model.training.task import (
    clip,
    gradients_kept_apart,
    initialize,
    moving_average,
    parts_of,
    refuse_unequal_parts,
    with_a_loss,
)


class Generating(nn.Module):
    """The generator with Eq. 4's penalty: one module for DDP, FSDP and the compiler to wrap."""

    def __init__(self, network: MultimodalNetwork, penalty: float) -> None:
        super().__init__()
        self.network, self.penalty = network, penalty

    def forward(self, images: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """Outputs by stream, and the weighted penalty."""
        return self.network(images), self.penalty * self.network.sparsity()


@dataclass(frozen=True)
class _Made:
    """What the generator made of a part of a batch.

    Attributes:
        inputs: images (B, C_m, H, W) by modality.
        target: the real image (B, C, H, W).
        outputs: of the generator: images by supervised stream, "ensemble", and "alignment" where there is one; in the
            images, the target's holes.
        penalty: weighted, a scalar.
    """

    inputs: Mapping[str, Tensor]
    target: Tensor
    outputs: Mapping[str, Tensor]
    penalty: Tensor


class TranslationTask:
    """Translation; see `cen_model.training.task.Task`."""

    def __init__(self, config: TranslationTrainConfig, dataset: Dataset, fabric: Fabric) -> None:
        self._config, self._fabric = config, fabric
        refuse_unequal_parts(config.optimizer.batch, fabric.world_size, config.optimizer.accumulate)
        if config.hardware.precision == "16-mixed":
            raise ValueError(
                "hardware.precision: 16-mixed scales one loss, and there are two; take bf16-mixed or 32-true"
            )
        self.network = build(config.model)
        self.inputs, self.targets = config.model.modalities, (config.model.target,)
        initialize(self.network, config, fabric)
        channels = config.model.out_channels or modality(config.model.target).channels
        # As wide as the generator: of two unequal players, one learns nothing.
        discriminator = Discriminator(self.network.in_channels, channels, config.model.filters)
        self._alignment = config.model.fusion.weight if config.model.fusion else 0.0
        generating: nn.Module = Generating(self.network, config.exchange.penalty)
        if config.hardware.compile:
            generating = torch.compile(generating)
        self.average = moving_average(self.network, config.ema, fabric)
        self.whole = Whole(self.network, config.hardware, fabric)
        self._generator, self._judge = fabric.setup_module(generating), fabric.setup_module(discriminator)
        self.modules = {"network": self.network, "discriminator": discriminator}
        self.optimizers = {
            "network": build_optimizer(self.network, config.optimizer, config.exchange),
            "discriminator": build_discriminator_optimizer(discriminator, config.optimizer),
        }
        self._generator_optimizer, self._judge_optimizer = fabric.setup_optimizers(*self.optimizers.values())

    def step(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A step of the discriminator, then one of the generator against it (pix2pix's order)."""
        self._generator.train()
        parts = parts_of(batch, self._config.optimizer.accumulate)
        # The discriminator's loss leaves the generator's graph alone, so both players can share it. Of several parts
        # there is room for but one graph at a time: each is made again when the discriminator has seen all of them.
        only = self._generate(parts[0]) if len(parts) == 1 else None
        with nullcontext() if only else self._made_again():
            against = self._move(
                self._judge,
                self._judge_optimizer,
                parts,
                lambda part: self._against(only or self._generate_alone(part)),
            )
        terms = self._move(
            self._generator,
            self._generator_optimizer,
            parts,
            lambda part: self._in_favor(only or self._generate(part)),
        )
        if self.average:
            self.average.update_parameters(self.whole())
        return terms | against

    def _move(
        self,
        player: nn.Module,
        optimizer: Optimizer,
        parts: Sequence[Mapping[str, Tensor]],
        losses: Callable[[Mapping[str, Tensor]], dict[str, Tensor]],
    ) -> dict[str, Tensor]:
        """One step of a player on the mean of the parts' losses; the terms of that mean."""
        total: dict[str, Tensor] = {}
        for place, part in enumerate(parts):
            with gradients_kept_apart(self._fabric, player, apart=place + 1 < len(parts)):
                terms = {name: loss / len(parts) for name, loss in losses(part).items()}
                self._fabric.backward(sum(terms.values()))
            total = {name: total.get(name, 0) + term.detach() for name, term in terms.items()}
        clip(self._fabric, player, optimizer, self._config.optimizer.clip)
        optimizer.step()
        optimizer.zero_grad()
        return total

    def _generate(self, batch: Mapping[str, Tensor]) -> _Made:
        images = {name: to_image(name, batch[name]) for name in self.inputs}
        outputs, penalty = self._generator(images)
        outputs = with_a_loss(outputs, self._config.model)
        target = to_image(self._config.model.target, batch[self._config.model.target])
        # The published code makes three channels of every target.
        target = target.expand_as(outputs["ensemble"])
        return _Made(images, target, self._with_holes(outputs, target), penalty)

    def _with_holes(self, outputs: Mapping[str, Tensor], target: Tensor) -> dict[str, Tensor]:
        """Generated images with the target's holes in them: where nothing was measured, nothing can be learned."""
        known = measured(self._config.model.target, target)
        return {
            name: output if name == "alignment" else torch.where(known, output, target)
            for name, output in outputs.items()
        }

    @torch.no_grad()
    def _generate_alone(self, batch: Mapping[str, Tensor]) -> _Made:
        """Without a graph for the generator's own gradients."""
        return self._generate(batch)

    @contextmanager
    def _made_again(self) -> Iterator[None]:
        """What is generated here comes again afterwards: with the same dropout then, and statistics count it once."""
        device, buffers = self._fabric.device, list(self._generator.buffers())
        before = [buffer.clone() for buffer in buffers]
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)

    def _against(self, made: _Made) -> dict[str, Tensor]:
        """The discriminator's loss."""
        real = judge(self._judge, made.inputs, made.target)
        fake = judge(self._judge, made.inputs, _detached(self._judged(made)))
        return {"discriminator": discriminator_loss(real, fake)}

    def _in_favor(self, made: _Made) -> dict[str, Tensor]:
        """The terms of the generator's loss, of which the discriminator gets no gradient."""
        self._judge.requires_grad_(False)
        fake = judge(self._judge, made.inputs, self._judged(made))
        self._judge.requires_grad_(True)
        losses = generator_losses(fake, made.outputs, made.target, self._alignment)
        return {**losses, "penalty": made.penalty}

    def _judged(self, made: _Made) -> Mapping[str, Tensor] | Tensor:
        """The images that the discriminator is shown: the streams', or the ensemble's, which goes with every input."""
        outputs = made.outputs
        return {name: outputs[name] for name in self.inputs} if self._config.model.supervised else outputs["ensemble"]

    def measure(self, network: MultimodalNetwork, dataset: Dataset) -> Mapping[str, ImageScores]:
        return measure_images(self._evaluated(network, dataset))

    def goodness(self, scores: Mapping[str, ImageScores]) -> float:
        return -scores["ensemble"].mae

    def pictures(self, network: MultimodalNetwork, dataset: Dataset, indices: Sequence[int]) -> Iterator[np.ndarray]:
        generator = self._evaluated(network, dataset)
        for index in indices:
            images = [image_to_8bit(image)[0].expand(3, -1, -1) for image in generator.images_of(index).values()]
            yield torch.cat(images, dim=2).permute(1, 2, 0).cpu().numpy()

    def _evaluated(self, network: MultimodalNetwork, dataset: Dataset) -> Generator:
        return Generator(network, dataset, self._config.data, TranslationOptions())


def _detached(images: Mapping[str, Tensor] | Tensor) -> Mapping[str, Tensor] | Tensor:
    return images.detach() if isinstance(images, Tensor) else {name: each.detach() for name, each in images.items()}
