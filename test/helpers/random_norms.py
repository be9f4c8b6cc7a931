# SPDX-License-Identifier: Apache-2.0
"""Norms that are not as they were initialized."""

from __future__ import annotations

import torch
from torch import nn


def with_random_norms(network):
    """Statistics and factors as after some training, many factors under θ."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data = torch.where(
                torch.rand_like(module.weight) < 0.3, 1e-3, 1 + torch.rand_like(module.weight)
            )
    return network
