# SPDX-License-Identifier: Apache-2.0
"""Smaller scaling factors: the same features, from a network and from one that starts with another's weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from cen_model import checkpoint
from cen_model.config import ExchangeConfig, SegmentationConfig
from cen_model.models import build
from cen_model.nn.exchange import exchange_norms
from cen_model.nn.network import MultimodalNetwork
from cen_model.training.initial_weights import take_weights

ENCODERS = ("timm/tf_efficientnet_lite0", "timm/mobilenetv2_050", "mobilenet_v2")


def network(encoder: str, exchange: ExchangeConfig | None, **options) -> MultimodalNetwork:
    """With statistics and factors as if it were trained."""
    torch.manual_seed(0)
    model = build(SegmentationConfig(encoder=encoder, exchange=exchange, decoder_width=8, decoder="lraspp", **options))
    return model.eval()


@torch.no_grad()
def logits(model: MultimodalNetwork) -> Tensor:
    torch.manual_seed(1)
    return model({"rgb": torch.randn(1, 3, 64, 96), "depth": torch.rand(1, 1, 64, 96)})["ensemble"]


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("convs", ["shared", "private"])
def test_factors_are_smaller_and_the_answer_is_the_same(encoder: str, convs: str) -> None:
    """A threshold of 0 exchanges nothing, so that the two networks differ in nothing but their factors."""
    plain, scaled = (network(encoder, ExchangeConfig(threshold=0.0, scale=s), convs=convs) for s in (1.0, 0.125))
    torch.testing.assert_close(logits(scaled), logits(plain), rtol=1e-4, atol=1e-5)
    for large, small in zip(exchange_norms(plain), exchange_norms(scaled), strict=True):
        torch.testing.assert_close(small.scaling_factors(), large.scaling_factors() / 8)


def test_a_scaled_network_comes_back_from_its_checkpoint(tmp_path: Path) -> None:
    model = network(ENCODERS[0], ExchangeConfig(scale=0.125))
    checkpoint.save(tmp_path / "scaled.safetensors", model)
    assert torch.equal(logits(checkpoint.load(tmp_path / "scaled.safetensors").eval()), logits(model))


def test_initial_weights_of_a_network_without_exchange_are_scaled(tmp_path: Path) -> None:
    plain = network(ENCODERS[0], None)
    checkpoint.save(tmp_path / "plain.safetensors", plain)
    torch.manual_seed(2)
    scaled = network(ENCODERS[0], ExchangeConfig(threshold=0.0, scale=0.125))
    take_weights(scaled, str(tmp_path / "plain.safetensors"))
    torch.testing.assert_close(logits(scaled), logits(plain), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("encoder", ["resnet18", "efficientnet_b0", "mobilenet_v3_large"])
def test_encoders_that_would_answer_otherwise_are_refused(encoder: str) -> None:
    """After an exchanging norm a residual block adds, SiLU has no scale, and squeeze-and-excitation looks at means."""
    with pytest.raises(ValueError, match=r"exchange.scale=0.125: this encoder cannot be scaled"):
        network(encoder, ExchangeConfig(scale=0.125))
