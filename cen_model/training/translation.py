# SPDX-License-Identifier: Apache-2.0
"""Training of image-to-image translation: a generator against a discriminator (§ 4.2, pix2pix).

Axes: B batch, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from cen_model.data.dataset import Dataset
from cen_model.discriminator import Discriminator
from cen_model.evaluation.translation import Generator, TranslationOptions, measure_images
from cen_model.metrics import ImageScores
from cen_model.modalities import image_to_8bit, modality, to_image
from cen_model.models import build
from cen_model.network import MultimodalNetwork
from cen_model.optimiser import build_discriminator_optimiser, build_optimiser, initialise_gamma
from cen_model.train_config import TranslationTrainConfig
from cen_model.training.sharding import Whole
from cen_model.training.task import (
    clip,
    gradients_kept_apart,
    moving_average,
    parts_of,
    refuse_unequal_parts,
    training_mode,
)
from cen_model.translation import discriminator_loss, generator_losses, judge


class Generating(nn.Module):
    """The generator with Eq. 4's penalty: one module for DDP, FSDP and the compiler to wrap."""

    def __init__(self, network: MultimodalNetwork, penalty: float) -> None:
        super().__init__()
        self.network, self.penalty = network, penalty

    def forward(self, images: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """Outputs by stream, and the weighted penalty."""
        return self.network(images), self.penalty * self.network.sparsity()


class TranslationTask:
    """Translation; see `cen_model.training.task.Task`."""

    def __init__(self, config: TranslationTrainConfig, dataset: Dataset, fabric: Fabric) -> None:
        self._config, self._fabric = config, fabric
        refuse_unequal_parts(config.optimiser.batch, fabric.world_size, config.optimiser.accumulate)
        if config.hardware.precision == "16-mixed":
            raise ValueError(
                "hardware.precision: 16-mixed scales one loss, and there are two; take bf16-mixed or 32-true"
            )
        self.network = build(config.model)
        self.inputs, self.targets = config.model.modalities, (config.model.target,)
        initialise_gamma(self.network, config.exchange.gamma_init)
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
        self.optimisers = {
            "network": build_optimiser(self.network, config.optimiser, config.exchange),
            "discriminator": build_discriminator_optimiser(discriminator, config.optimiser),
        }
        self._generator_optimiser, self._judge_optimiser = fabric.setup_optimizers(*self.optimisers.values())

    def step(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        training_mode(self._generator, self._config.optimiser.frozen_statistics)
        fabric, count = self._fabric, self._config.optimiser.accumulate
        total: dict[str, Tensor] = {}
        for place, part in enumerate(parts_of(batch, count)):
            with gradients_kept_apart(fabric, self._generator, self._judge, apart=place + 1 < count):
                terms = self._backward(part, 1 / count)
            total = {name: total.get(name, 0) + term for name, term in terms.items()}
        for module, optimiser in ((self._judge, self._judge_optimiser), (self._generator, self._generator_optimiser)):
            clip(fabric, module, optimiser, self._config.optimiser.clip)
            optimiser.step()
            optimiser.zero_grad()
        if self.average:
            self.average.update_parameters(self.whole())
        return total

    def _backward(self, batch: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
        """Gradients of both players on a part of a batch, from where both stand; the terms of their losses."""
        images = {name: to_image(name, batch[name]) for name in self.inputs}
        outputs, penalty = self._generator(images)
        target = to_image(self._config.model.target, batch[self._config.model.target])
        target = target.expand_as(outputs["ensemble"])  # the published code makes three channels of every target
        # Where the streams were merged there is one image, which goes with every input.
        made = {name: outputs[name] for name in self.inputs} if self._config.model.streams else outputs["ensemble"]
        real = judge(self._judge, images, target)
        against = share * discriminator_loss(real, judge(self._judge, images, _detached(made)))
        self._fabric.backward(against)
        self._judge.requires_grad_(False)  # the generator's loss is not the discriminator's affair
        losses = generator_losses(judge(self._judge, images, made), outputs, target, self._alignment)
        terms = {name: share * loss for name, loss in losses.items()} | {"penalty": share * penalty}
        self._fabric.backward(sum(terms.values()))
        self._judge.requires_grad_(True)
        return {name: term.detach() for name, term in {**terms, "discriminator": against}.items()}

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
