# SPDX-License-Identifier: Apache-2.0
"""The segmentation task: its loss against a slow loop, its evaluation against numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cen_model.classes import VOID
from cen_model.config import SegmentationConfig
from cen_model.losses.segmentation import inputs, losses
from cen_model.models import build
from cen_model.training.run_config import TrainConfig
from cen_model.training.segmentation_task import Loss


def slow_resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear interpolation between pixel centers of (K, h, w), clamped at the border, one pixel at a time."""
    _, h, w = image.shape
    result = np.empty((image.shape[0], height, width))
    for i in range(height):
        for j in range(width):
            y = min(max((i + 0.5) * h / height - 0.5, 0), h - 1)
            x = min(max((j + 0.5) * w / width - 0.5, 0), w - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, h - 1), min(left + 1, w - 1)
            fy, fx = y - top, x - left
            result[:, i, j] = (1 - fy) * ((1 - fx) * image[:, top, left] + fx * image[:, top, right]) + fy * (
                (1 - fx) * image[:, bottom, left] + fx * image[:, bottom, right]
            )
    return result


def slow_cross_entropy(logits: np.ndarray, target: np.ndarray, stride: int = 1) -> float:
    """Mean of -log softmax over the pixels that count and have a class: (B, K, h, w) against (B, H, W)."""
    terms = []
    for image, truth in zip(logits, target, strict=True):
        resized = slow_resize(image, *truth.shape)
        for i, j in np.argwhere(truth[::stride, ::stride] != VOID) * stride:
            pixel = resized[:, i, j]
            terms.append(math.log(np.exp(pixel).sum()) - pixel[truth[i, j]])
    return float(np.mean(terms))


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_losses_equal_a_slow_loop(stride: int) -> None:
    rng = np.random.default_rng(0)
    logits = {name: rng.normal(size=(2, 4, 3, 5)) for name in ("rgb", "depth", "ensemble")}
    target = rng.choice([0, 1, 2, 3, VOID], size=(2, 12, 17)).astype(np.uint8)
    outputs = {name: torch.from_numpy(values) for name, values in logits.items()}
    got = losses(outputs, torch.from_numpy(target), stride=stride)
    assert list(got) == ["rgb", "depth", "ensemble"]
    for name, values in logits.items():
        assert got[name].item() == pytest.approx(slow_cross_entropy(values, target, stride), rel=1e-6)


def test_a_set_of_classes_is_any_of_them() -> None:
    """Ids 4 and 5 stand for two and three of four classes: -log of the sum of their probabilities, pixel by pixel."""
    rng = np.random.default_rng(1)
    sets, logits = ((0, 2), (1, 2, 3)), rng.normal(size=(2, 4, 5, 6))
    target = rng.choice([0, 3, 4, 5, VOID], size=(2, 5, 6)).astype(np.uint8)
    terms = []
    for k, i, j in np.argwhere(target != VOID):
        label, odds = target[k, i, j], np.exp(logits[k, :, i, j])
        members = [label] if label < 4 else list(sets[label - 4])
        terms.append(-math.log(odds[members].sum() / odds.sum()))
    got = losses({"rgb": torch.from_numpy(logits)}, torch.from_numpy(target), sets=sets)
    assert got["rgb"].item() == pytest.approx(float(np.mean(terms)), rel=1e-6)


def test_one_modality_is_counted_once() -> None:
    logits = torch.randn(1, 3, 4, 4)
    target = torch.randint(0, 3, (1, 8, 8))
    assert list(losses({"rgb": logits, "ensemble": logits}, target)) == ["rgb"]


def test_auxiliary_heads_and_alignment_are_weighted() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1, 4, 3, 5))
    target = rng.choice([0, 1, 2, 3], size=(1, 6, 10)).astype(np.uint8)
    logits = torch.from_numpy(values)
    outputs = {"ensemble": logits, "auxiliary/ensemble": logits, "alignment": torch.tensor(2.0)}
    got = losses(outputs, torch.from_numpy(target), alignment_weight=0.25)
    expected = slow_cross_entropy(values, target)
    assert {name: term.item() for name, term in got.items()} == pytest.approx(
        {"ensemble": expected, "auxiliary/ensemble": 0.4 * expected, "alignment": 0.5}, rel=1e-6
    )


def sample_batch(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "rgb": torch.randint(0, 256, (2, 3, 32, 48), generator=generator, dtype=torch.uint8),
        "depth": torch.rand(2, 1, 32, 48, generator=generator) * 4,
        "label": torch.randint(0, 3, (2, 32, 48), generator=generator, dtype=torch.uint8),
    }


def test_the_ensemble_trains_its_weights_alone() -> None:
    config = SegmentationConfig(classes=("a", "b", "c"), encoder="resnet18", encoder_width=0.125, decoder_width=8)
    model = build(config)
    batch = sample_batch()
    terms = losses(model(inputs(batch, config, torch.device("cpu"))), batch["label"])
    names = [name for name, _ in model.named_parameters()]

    def trained(name: str) -> set[str]:
        gradients = torch.autograd.grad(terms[name], list(model.parameters()), retain_graph=True, allow_unused=True)
        return {name for name, gradient in zip(names, gradients, strict=True) if gradient is not None}

    alpha = {"ensemble.alpha"}
    assert trained("ensemble") == alpha
    assert trained("rgb").isdisjoint(alpha)
    assert trained("rgb") | trained("depth") | alpha == set(names)


def cross_entropy_gradient(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Of the mean over all pixels by the logits (B, K, H, W): (softmax - one-hot) / B H W."""
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return (shares - np.moveaxis(np.eye(logits.shape[1])[target], -1, 1)) / target.size


@pytest.mark.parametrize("supervision", ["separate", "joint", "ensemble"])
@pytest.mark.parametrize("ensemble", ["softmax", "concat"])
def test_who_learns_from_which_loss(ensemble: str, supervision: str) -> None:
    """Gradients of Σ_m L(f_m) + L(Σ_m w_m f_m), or of the last term alone (Eq. 4), by hand; w_m is α_m or a matrix."""
    config = SegmentationConfig(
        classes=("a", "b", "c"),
        encoder="resnet18",
        encoder_width=0.125,
        decoder_width=8,
        exchange=None,
        ensemble=ensemble,
        supervision=supervision,
    )
    torch.manual_seed(0)
    model = build(config)
    for parameter in model.ensemble.parameters():
        torch.nn.init.normal_(parameter)
    seen: dict[str, torch.Tensor] = {}
    model.register_forward_hook(lambda module, args, outputs: seen.update(outputs))
    batch = sample_batch()
    batch["label"] = batch["label"][:, ::4, ::4]  # as large as the logits: nothing is resized
    terms = Loss(model, TrainConfig(model=config))(batch, torch.tensor(batch["label"].numel()), 1.0)
    for name in config.modalities:
        seen[name].retain_grad()
    sum(terms.values()).backward()

    target = batch["label"].numpy()
    logits = {name: output.detach().numpy() for name, output in seen.items()}
    weights = by_hand_weights(model.ensemble)
    mixed = sum(np.einsum("kl,blhw->bkhw", weights[m], logits[name]) for m, name in enumerate(config.modalities))
    of_mixed = cross_entropy_gradient(mixed, target)
    for m, name in enumerate(config.modalities):
        own = 0 if supervision == "ensemble" else cross_entropy_gradient(logits[name], target)
        through = 0 if supervision == "separate" else np.einsum("kl,bkhw->blhw", weights[m], of_mixed)
        np.testing.assert_allclose(seen[name].grad.numpy(), own + through, atol=1e-7, rtol=1e-4)
    products = np.stack([np.einsum("bkhw,blhw->kl", of_mixed, logits[name]) for name in config.modalities])
    if ensemble == "concat":
        expected, got = np.hstack(list(products)), model.ensemble.reduce.weight.grad[:, :, 0, 0]
    else:
        alpha, slopes = weights[:, 0, 0], np.trace(products, axis1=1, axis2=2)
        expected, got = alpha * (slopes - alpha @ slopes), model.ensemble.alpha.grad
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-7, rtol=1e-4)
    assert set(terms) == {"ensemble", "penalty"} | (set() if supervision == "ensemble" else set(config.modalities))


def by_hand_weights(ensemble: torch.nn.Module) -> np.ndarray:
    """(M, K, K): what every modality's logits are multiplied by."""
    if hasattr(ensemble, "reduce"):
        return np.stack(np.hsplit(ensemble.reduce.weight.detach().numpy()[:, :, 0, 0], 2))
    alpha = np.exp(ensemble.alpha.detach().numpy())
    return np.stack([share * np.eye(3) for share in alpha / alpha.sum()])


def test_the_average_may_be_over_more_pixels_than_a_part_has() -> None:
    """Parts of a batch with void spread unevenly, each divided by half of all pixels: their mean is the whole's."""
    batch = [sample_batch(seed) for seed in range(2)]
    batch[0]["label"][:, :7] = VOID
    outputs = [{"rgb": torch.randn(2, 3, 4, 4), "depth": torch.randn(2, 3, 4, 4)} for _ in batch]
    outputs = [{**each, "ensemble": each["rgb"] + each["depth"]} for each in outputs]
    whole = losses(
        {name: torch.cat([each[name] for each in outputs]) for name in outputs[0]},
        torch.cat([each["label"] for each in batch]),
    )
    pixels = sum((each["label"] != VOID).sum() for each in batch) / 2
    parts = [losses(each, one["label"], pixels=pixels) for each, one in zip(outputs, batch, strict=True)]
    for name, loss in whole.items():
        assert sum(part[name].item() for part in parts) / 2 == pytest.approx(loss.item(), rel=1e-5)


def test_a_batch_of_void_costs_nothing() -> None:
    outputs = {"ensemble": torch.randn(2, 3, 4, 4, requires_grad=True)}
    loss = losses({**outputs, "rgb": outputs["ensemble"]}, torch.full((2, 16, 16), VOID, dtype=torch.uint8))["rgb"]
    loss.backward()
    assert loss == 0 and (outputs["ensemble"].grad == 0).all()
