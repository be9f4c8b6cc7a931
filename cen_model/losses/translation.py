# SPDX-License-Identifier: Apache-2.0
"""The task of image-to-image translation (paper § 4.2, pix2pix's losses): the terms of both players.

Axes: B batch, C channels, H W pixels, h w patches.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from cen_model.nn.discriminator import Discriminator
from cen_model.nn.modal import broaden, split, stack

L1_WEIGHT = 100.0


def judge(
    discriminator: Discriminator, inputs: Mapping[str, Tensor], images: Mapping[str, Tensor] | Tensor
) -> dict[str, Tensor]:
    """Logits (B, 1, h, w) of the discriminator on every modality's pair of input and image.

    The ensemble is not judged beside the streams: it is no image of a generator of its own (so in the published code).

    Args:
        inputs: (B, C_m, H, W) by modality; repeated up to the channels that the discriminator takes.
        images: (B, C, H, W) by modality, or one that goes with every input: a real one, or the only generated one.
    """
    real = isinstance(images, Tensor)
    conditions = stack(broaden(list(inputs.values()), discriminator.condition_channels))
    judged = stack([images if real else images[name] for name in inputs])
    return dict(zip(inputs, split(discriminator(conditions, judged), len(inputs)), strict=True))


def generator_losses(
    fake: Mapping[str, Tensor], outputs: Mapping[str, Tensor], target: Tensor, alignment_weight: float = 1.0
) -> dict[str, Tensor]:
    """The weighted terms of the generator's loss, but for the sparsity penalty of Eq. 4: "gan" and "l1".

    Args:
        fake: the discriminator's logits on the generated images, by modality.
        outputs: the generator's images by supervised stream, "ensemble", and "alignment" (a scalar) where there is one.
        target: the real image (B, C, H, W).
    """
    images = {name: output for name, output in outputs.items() if name != "alignment"}
    if len(images) == 2:  # one stream: the ensemble is its image
        del images["ensemble"]
    terms = {
        "gan": sum(_cross_entropy(logits, 1.0) for logits in fake.values()),
        "l1": L1_WEIGHT * sum(F.l1_loss(image, target) for image in images.values()),
    }
    return {**terms, "alignment": alignment_weight * outputs["alignment"]} if "alignment" in outputs else terms


def discriminator_loss(real: Mapping[str, Tensor], fake: Mapping[str, Tensor]) -> Tensor:
    """Half the cross-entropy of real and of generated images, summed over modalities.

    Args:
        real: logits on pairs with the real image, by modality.
        fake: logits on pairs with the generated images, which were detached.
    """
    return sum(0.5 * (_cross_entropy(real[name], 1.0) + _cross_entropy(fake[name], 0.0)) for name in real)


def _cross_entropy(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
