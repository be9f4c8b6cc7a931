# SPDX-License-Identifier: Apache-2.0
"""The one shape that all networks have, and its two doors: stacking at the entrance, the ensemble at the exit.

Axes: M modalities, B batch, C channels, K classes, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from cen_model.config import NetworkConfig
from cen_model.nn import exchange, modal
from cen_model.nn.conditional import Perceptron
from cen_model.nn.fusion import Concat, StagedFusion
from cen_model.nn.policies import SoftGate
from cen_model.nn.pspnet import PSPNet

_LEFT_OUT = 100.0
"""Taken from the α of a modality that is missing: e^-100 of a weight is 0, and where all are missing, all stay."""
_UNIFORM = 1e-3
"""Greatest difference of normalized values that counts as none: a tenth of a step of 8 bits, or 1 mm of depth."""
_GRID = 8
"""A pixel of so many, down and across, stands for all: looking at each would take a twentieth of a small network."""


def missing(image_BCHW: Tensor) -> Tensor:
    """Tell, as bool (B,), from which samples a modality is missing: their pixels are all alike.

    So are a depth image that has holes alone, and a color image that is blank.
    """
    # The image itself tells, not a further input: then a single frame without depth is met too, every engine does the
    # same, and samples of a batch may differ, as `data.modality_dropout` lets them.
    seen = image_BCHW[..., ::_GRID, ::_GRID]
    return (seen.amax((2, 3)) - seen.amin((2, 3))).amax(1) < _UNIFORM


class Ensemble(nn.Module):
    """Σ_m softmax(α)_m · output_m (paper § 3.2), over those modalities alone that are not missing.

    Args:
        modalities: M.
        detached: let the ensemble's loss train α alone, and not the streams.
    """

    def __init__(self, modalities: int, detached: bool) -> None:
        super().__init__()
        self.detached = detached
        # Of one modality it has no say: DDP would wait for a gradient that never comes.
        self.alpha = nn.Parameter(torch.ones(modalities), requires_grad=modalities > 1)

    def forward(self, outputs: Sequence[Tensor], missing_MB: Tensor | None = None) -> Tensor:
        outputs = _given(outputs, self.detached)
        if len(outputs) == 1:
            return outputs[0]
        alpha = self.alpha.view(-1, 1, 1, 1, 1)
        if missing_MB is not None:
            alpha = alpha - _LEFT_OUT * missing_MB[..., None, None, None]
        weights = alpha.softmax(0)
        return sum(weight * output for weight, output in zip(weights, outputs, strict=True))


class ConcatEnsemble(Concat):
    """A concat-fusion block at the end, instead of α (paper § 4.1); it takes all outputs, whatever is missing.

    Args:
        modalities: M.
        channels: of every output.
        detached: let the ensemble's loss train this block alone, and not the streams.
    """

    def __init__(self, modalities: int, channels: int, detached: bool) -> None:
        super().__init__(modalities, channels)
        self.detached = detached

    def forward(self, parts: Sequence[Tensor], missing_MB: Tensor | None = None) -> Tensor:
        return super().forward(_given(parts, self.detached))


def _given(outputs: Sequence[Tensor], detached: bool) -> Sequence[Tensor]:
    return [output.detach() for output in outputs] if detached else outputs


class MultimodalNetwork(nn.Module):
    """A modal encoder and decoder with one output per modality, and their ensemble.

    Args:
        encoder: with `stages` that take and return stacked tensors; made modal already.
        fusion: runs the stages and fuses between them; None runs them as they are.
        decoder: stacked features of all stages → stacked outputs.
        ensemble: outputs of all modalities → one; None where the streams were merged before.
        config: what these were built from.
        in_channels: of the encoder's first layer.
    """

    def __init__(
        self,
        encoder: nn.Module,
        fusion: StagedFusion | None,
        decoder: nn.Module,
        ensemble: nn.Module | None,
        config: NetworkConfig,
        in_channels: int,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.fusion = fusion
        self.decoder = decoder
        self.ensemble = ensemble
        self.config = config
        self.in_channels = in_channels

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Images (B, C_m, H, W) by modality → outputs by stream, and "ensemble".

        Segmentation takes normalized images and gives logits (B, K, H/4, W/4), or H/8 with a PSPNet; translation takes
        and gives images in [-1, 1]. While training there are also "auxiliary/<stream>" (logits of a PSPNet's auxiliary
        head) and "alignment" (the alignment loss, a scalar), where the network has them. The ensemble leaves out the
        streams of modalities that are missing from a sample: see `missing`.

        Raises:
            ValueError: a modality of the network is missing among the inputs.
        """
        names = self.config.modalities
        if absent := [name for name in names if name not in inputs]:
            raise ValueError(f"the network takes {', '.join(names)}; missing {', '.join(absent)}, got {list(inputs)}")
        images = [inputs[name] for name in names]
        features, alignment = self._encode(modal.stack(modal.broaden(images, self.in_channels)))
        outputs = self._by_stream(self.decoder(features), images)
        if self.training and alignment is not None:
            outputs["alignment"] = alignment
        if self.training and isinstance(self.decoder, PSPNet):
            streams = self.config.streams or ("ensemble",)
            auxiliary = modal.split(self.decoder.auxiliary(features), len(streams))
            outputs |= {f"auxiliary/{name}": logits for name, logits in zip(streams, auxiliary, strict=True)}
        return outputs

    def _encode(self, x: Tensor) -> tuple[list[Tensor], Tensor | None]:
        if self.fusion is not None:
            return self.fusion(self.encoder.stages, x)
        features = []
        for stage in self.encoder.stages:
            x = stage(x)
            features.append(x)
        return features, None

    def _by_stream(self, output: Tensor, images: Sequence[Tensor]) -> dict[str, Tensor]:
        streams = self.config.streams
        if not streams:
            return {"ensemble": output}
        parts = modal.split(output, len(streams))
        missing_MB = torch.stack([missing(image) for image in images])
        return {**dict(zip(streams, parts, strict=True)), "ensemble": self.ensemble(parts, missing_MB)}

    def sparsity(self) -> Tensor:
        """Σ |γ̂| (Eq. 4, without λ)."""
        return exchange.sparsity(self)

    def exchanged_share(self) -> float:
        """Share in [0, 1] of the exchangeable channels that are replaced now."""
        return exchange.exchanged_share(self)

    def fusion_modules(self) -> nn.ModuleList:
        """The modules whose parameters Table 2 counts as used for fusion; none in a CEN."""
        kinds = (StagedFusion, Concat, Perceptron, SoftGate)
        return nn.ModuleList(module for module in self.modules() if isinstance(module, kinds))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The paper's two groups: "encoder", and "decoder" with everything that is new beside it."""
        encoder = list(self.encoder.parameters())
        known = {id(parameter) for parameter in encoder}
        return {"encoder": encoder, "decoder": [p for p in self.parameters() if id(p) not in known]}
