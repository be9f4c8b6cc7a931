# SPDX-License-Identifier: Apache-2.0
"""Networks for tests of deployment: every member of the registry that is meant for it, made small, as if trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torchvision.models._api import register_model
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from cen_model.benchmark.reference import exchange_a_third
from cen_model.deploy.frame import Frame, FrameConfig
from cen_model.deploy.sample import sample_frame
from cen_model.models import build
from cen_model.registry import DEPLOYED, REGISTRY

SENSOR = (96, 128)
GROUPS = (255, 0, 255, 0, 2, 2, 1)
"""Labels that a network's seven classes become, each of which occurs in a frame of `cen-light18`."""


def shorter(name, block, blocks):
    """Let torchvision know a ResNet of a few blocks: the longer ones have more of the same."""

    def build_resnet(**options):
        return ResNet(block, blocks, **options)

    build_resnet.__module__ = "torchvision.models.resnet"  # by which `list_models` finds it
    register_model(name)(build_resnet)
    return name


BASIC, BOTTLENECK = shorter("resnet10", BasicBlock, (1, 1, 1, 1)), shorter("resnet17", Bottleneck, (1, 1, 1, 2))
SHORTER = {
    **{"resnet18": BASIC, "resnet34": BASIC, "resnet50": BOTTLENECK, "resnet101": BOTTLENECK},
    "timm/tf_efficientnet_lite2": "timm/tf_efficientnet_lite0",
}


def narrowed(name):
    config = REGISTRY[name]
    # Squeeze-and-excitation and grouped convolutions keep their widths; they are small as they are.
    width = 0.25 if config.encoder.startswith("resnet") else 1.0
    encoder = SHORTER.get(config.encoder, config.encoder)
    return replace(config, encoder=encoder, encoder_width=width, decoder_width=16, classes=tuple("abcdefg"))


NETWORKS = list({narrowed(name): name for name in DEPLOYED}.values())


def network(name, seed=0):
    """With a third of its channels exchanged, if it exchanges any."""
    torch.manual_seed(seed)
    return exchange_a_third(build(narrowed(name)), seed)


def frame(name, sensor=SENSOR, **options):
    model = network(name)
    return Frame(model, FrameConfig.of(model.config, sensor, **options))


def tensors(frame):
    return [torch.from_numpy(np.ascontiguousarray(each)) for each in sample_frame(frame)]


class Logits(nn.Module):
    """What a frame's labels are taken from, to be compared in numbers."""

    def __init__(self, frame):
        super().__init__()
        self.frame = frame

    def forward(self, *inputs):
        return self.frame.logits(*inputs)
