# SPDX-License-Identifier: Apache-2.0
"""The network as the paper's published code runs it: one list of tensors per modality, layer by layer, eager.

What a deployed network is compared with, in numbers and in time.

Axes: M = 2 modalities, B batch, C channels, K classes, H W pixels.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.optim.swa_utils import update_bn

from cen_model.config import NetworkConfig
from cen_model.deploy.network_size import network_size
from cen_model.modalities import modality, normalize
from cen_model.nn import exchange, modal
from cen_model.nn.exchange import ExchangeNorm
from cen_model.nn.modal import PrivateNorm
from cen_model.nn.network import MultimodalNetwork

SUPPORTED = {"task": "segmentation", "modalities": 2, "convs": "shared", "exchange.policy": "threshold", "fusion": None}


class ListNetwork(nn.Module):
    """What a segmentation network computes, the way the published code computes it (github.com/yikaiw/CEN).

    Every shared layer is called once for every modality in turn, every private norm on its own modality's tensor, and
    channels are exchanged by boolean masks that are made afresh for every frame. In float32, in the default layout
    (NCHW), at first in evaluation mode; weights are copied, and the network that is given stays as it is. It trains,
    too, though without a PSPNet's auxiliary heads.

    Args:
        model: of two modalities, with shared convolutions and the exchange policy "threshold", without fusion modules.

    Raises:
        ValueError: a network of another kind.
    """

    def __init__(self, model: MultimodalNetwork) -> None:
        _check(model.config)
        super().__init__()
        self.config = model.config
        self.in_channels = model.in_channels
        model = _default_layout(copy.deepcopy(model).float())
        self.layers = nn.Sequential(model.encoder, model.decoder)
        self.ensemble = model.ensemble
        self.eval()

    def train(self, mode: bool = True) -> ListNetwork:
        super().train(mode)
        # What is traced depends on the mode.
        self._interpreter = _ListInterpreter(self.layers, graph=_Tracer().trace(self.layers))
        return self

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Normalized images (B, C_m, H, W) by modality → logits by modality, and "ensemble", as `MultimodalNetwork`."""
        names = self.config.modalities
        images = modal.broaden([inputs[name] for name in names], self.in_channels)
        outputs = self._interpreter.run(images)
        return {**dict(zip(names, outputs, strict=True)), "ensemble": self.ensemble(outputs)}

    def sparsity(self) -> Tensor:
        """Σ |γ̂| (Eq. 4, without λ)."""
        return exchange.sparsity(self)


class _Tracer(fx.Tracer):
    """Sees the layers of a network; those that know how many modalities there are stay whole."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, PrivateNorm) or super().is_leaf_module(m, module_qualified_name)


class _ListInterpreter(fx.Interpreter):
    """Runs every operation of a graph for each modality in turn: every value is a list of M."""

    def run_node(self, n: fx.Node) -> list[Any]:
        if n.op == "placeholder":
            return self.placeholder(n.target, (), {})
        module = self.fetch_attr(n.target) if n.op == "call_module" else None
        if isinstance(module, PrivateNorm):
            return _normalize(module, self.env[n.args[0]])
        return [self._run_one(n, m) for m in range(SUPPORTED["modalities"])]

    def _run_one(self, n: fx.Node, m: int) -> Any:
        args, kwargs = fx.node.map_arg((n.args, n.kwargs), lambda node: self.env[node][m])
        return getattr(self, n.op)(n.target, args, kwargs)


def _normalize(private: PrivateNorm, parts: Sequence[Tensor]) -> list[Tensor]:
    normalized = [norm(part) for norm, part in zip(private.norms, parts, strict=True)]
    if not isinstance(private, ExchangeNorm):
        return normalized
    first, second = private.replaced()
    return [_exchange(*normalized, first), _exchange(*normalized[::-1], second)]


def _exchange(own: Tensor, other: Tensor, replaced_C: Tensor) -> Tensor:
    exchanged = torch.zeros_like(own)
    exchanged[:, ~replaced_C] = own[:, ~replaced_C]
    exchanged[:, replaced_C] = other[:, replaced_C]
    return exchanged


def _check(config: NetworkConfig) -> None:
    found = {
        "task": config.task,
        "modalities": len(config.modalities),
        "convs": config.convs,
        "exchange.policy": config.exchange and config.exchange.policy,
        "fusion": config.fusion,
    }
    for key, expected in SUPPORTED.items():
        if found[key] != expected:
            raise ValueError(f"{key}: the published way of computing is for {expected!r} alone, got {found[key]!r}")


def _default_layout(module: nn.Module) -> nn.Module:
    # Not module.to(memory_format=…): it leaves the weights of 1×1 convolutions in channels-last strides, which count as
    # either layout and take the whole convolution with them.
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)
    return module


@torch.inference_mode()
def frame(network: ListNetwork, rgb: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Label one frame as evaluation code does, step by step: normalize, run, resize the logits, argmax.

    Args:
        network: of rgb and depth.
        rgb: uint8 (H, W, 3).
        depth: uint16 (H, W), millimeters; 0 is a hole.

    Returns:
        uint8 (H, W) class ids.
    """
    height, width = rgb.shape[:2]
    size = network_size((height, width), network.config.input_height)
    device = next(network.parameters()).device
    images = {
        "rgb": torch.from_numpy(rgb).to(device).permute(2, 0, 1).float(),
        "depth": torch.from_numpy(depth).to(device).unsqueeze(0).float() / 1000,
    }
    resized = {name: _resized(image[None].contiguous(), size, name) for name, image in images.items()}
    inputs = {name: normalize(name, image, network.config.normalization) for name, image in resized.items()}
    logits = F.interpolate(network(inputs)["ensemble"], size=(height, width), mode="bilinear", align_corners=False)
    return logits.argmax(1)[0].to(torch.uint8).cpu().numpy()


def _resized(image: Tensor, size: tuple[int, int], name: str) -> Tensor:
    if image.shape[-2:] == size:
        return image
    if name == "depth":  # holes do not bleed into surfaces
        return F.interpolate(image, size=size, mode="nearest")
    return F.interpolate(image, size=size, mode="bilinear", align_corners=False, antialias=True)


@torch.no_grad()
def exchange_a_third(model: MultimodalNetwork, seed: int) -> MultimodalNetwork:
    """Turn a network into one to measure with, in place: it exchanges as a trained one would, but has learned nothing.

    In every exchanging norm a random third of the channels in scope gets |γ| < θ/2, all others at least 2 θ. Scaling
    factors and shifts of every BatchNorm are made irregular, and its running statistics are those of random images, so
    that activations stay of the order of one and folding the norms changes every weight.

    Args:
        model: on the CPU; returned in evaluation mode.
        seed: the same network and seed give the same weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
            norm.weight.mul_(torch.empty_like(norm.weight).uniform_(0.7, 1.3))
            # Shifted upwards: with ReLUs that are closed half of the time, what differs from the random images would
            # grow by a fifth in every layer (√(E[relu'²] / Var[relu]) of a standard normal variable is 1.21).
            norm.bias.add_(torch.empty_like(norm.bias).normal_(mean=0.5, std=0.2))
        for norm in exchange.exchange_norms(model):
            _shrink_a_third(norm, model.config.exchange.threshold)
        images = {name: _random_images(name) for name in model.config.modalities}
        update_bn([{name: normalize(name, each, model.config.normalization) for name, each in images.items()}], model)
    return model.eval()


def _shrink_a_third(norm: ExchangeNorm, threshold: float) -> None:
    for single, scope_C in zip(norm.norms, norm.scope_MC, strict=True):
        gamma_C = single.weight
        gamma_C.masked_fill_(gamma_C.abs() < 2 * threshold, 2 * threshold)
        channels = scope_C.nonzero().flatten()
        chosen = channels[torch.randperm(len(channels))[: round(len(channels) / 3)]]
        gamma_C[chosen] = torch.rand(len(chosen)) * threshold / 2


def _random_images(name: str) -> Tensor:
    """Seven images (C, 64, 64) from one color to white noise, as raw values: whatever is shown later resembles some."""
    brightest = 5.0 if name == "depth" else 255.0
    coarse = [torch.rand(1, modality(name).channels, 2**i, 2**i) for i in range(7)]
    return brightest * torch.cat([F.interpolate(image, size=64, mode="bilinear") for image in coarse])
