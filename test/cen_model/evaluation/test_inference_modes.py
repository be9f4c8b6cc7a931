# SPDX-License-Identifier: Apache-2.0
"""Several scales, mirrored views and sliding windows against slow versions, one pixel or one view at a time."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cen_model.evaluation.inference_modes import InferenceConfig, predict, windows
from cen_model.modalities import IMAGENET_MEAN, IMAGENET_STD

K = 3


class Network(nn.Module):
    """Logits at a quarter of the resolution that depend on both modalities, on the place, and on left and right."""

    def __init__(self, modalities=("rgb", "depth"), input_height=None):
        super().__init__()
        torch.manual_seed(0)
        self.config = SimpleNamespace(
            modalities=modalities, input_height=input_height, normalization=None, temperature=1
        )
        self.layers = nn.ModuleDict({name: nn.LazyConv2d(K, 5, 4, 2) for name in modalities})
        self.seen = []

    def forward(self, inputs):
        self.seen.append({name: tuple(x.shape[-2:]) for name, x in inputs.items()})
        outputs = {name: 3 * self.layers[name](x) for name, x in inputs.items()}
        return {**outputs, "ensemble": sum(outputs.values())}


def frame(height, width, seed=0):
    rng = np.random.default_rng(seed)
    smooth = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8)).resize((width, height), Image.BICUBIC)
    depth = rng.uniform(0.5, 4, (height, width)).astype(np.float32)
    return np.array(smooth), depth


def batch(rgb, depth):
    return {"rgb": torch.from_numpy(rgb).permute(2, 0, 1)[None], "depth": torch.from_numpy(depth)[None, None]}


def slow_logits(network, rgb, depth):
    """Of one image float (h, w, 3), 0 to 255, and its depth: float64 (K, h/4, w/4) of the ensemble."""
    normal = (rgb / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    given = {"rgb": normal.transpose(2, 0, 1)[None], "depth": depth[None, None]}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(x)).float() for name, x in given.items()}
    with torch.no_grad():
        return network(tensors)["ensemble"][0].double().numpy()


def slow_resize(planes, height, width):
    """Bilinear between pixel centers, clamped at the border: (K, h, w) → (K, height, width), a pixel at a time."""
    h, w = planes.shape[1:]
    result = np.empty((len(planes), height, width))
    for i, j in product(range(height), range(width)):
        y, x = (min(max((a + 0.5) * n / m - 0.5, 0), n - 1) for a, n, m in ((i, h, height), (j, w, width)))
        top, left = int(y), int(x)
        bottom, right, fy, fx = min(top + 1, h - 1), min(left + 1, w - 1), y - top, x - left
        upper = (1 - fx) * planes[:, top, left] + fx * planes[:, top, right]
        lower = (1 - fx) * planes[:, bottom, left] + fx * planes[:, bottom, right]
        result[:, i, j] = (1 - fy) * upper + fy * lower
    return result


def slow_image_resize(rgb, height, width):
    """PIL's antialiased bilinear, channel by channel in floating point."""
    channels = [
        Image.fromarray(rgb[..., c].astype(np.float32)).resize((width, height), Image.BILINEAR) for c in range(3)
    ]
    return np.stack([np.array(each) for each in channels], -1)


def slow_depth_resize(depth, height, width):
    h, w = depth.shape
    return np.array([[depth[int(i * h / height), int(j * w / width)] for j in range(width)] for i in range(height)])


def softmax(logits):
    e = np.exp(logits - logits.max(0))
    return e / e.sum(0)


@pytest.mark.parametrize("average", ["probabilities", "logits"])
@pytest.mark.parametrize("flip", [True, False])
def test_scales_and_mirrored_views_equal_one_view_at_a_time(average, flip):
    network, (rgb, depth) = Network(), frame(30, 42)
    scales, size = (0.5, 1.0, 1.3), (30, 42)
    config = InferenceConfig("multi", scales, flip, average)
    actual = predict(network, batch(rgb, depth), size, config)["ensemble"][0].numpy()

    views = []
    for scale, mirrored in product(scales, (False, True)[: 1 + flip]):
        height, width = round(30 * scale), round(42 * scale)
        image = rgb.astype(float) if scale == 1 else slow_image_resize(rgb, height, width)
        meters = slow_depth_resize(depth, height, width)
        if mirrored:
            image, meters = image[:, ::-1], meters[:, ::-1]
        logits = slow_logits(network, image, meters)
        logits = slow_resize(logits[..., ::-1] if mirrored else logits, *size)
        views.append(softmax(logits) if average == "probabilities" else logits)
    assert len(views) == len(network.seen) / 2 == 3 * (1 + flip)  # both versions ran the network as often
    np.testing.assert_allclose(actual, np.mean(views, 0), atol=2e-3 if average == "logits" else 2e-4)
    assert np.abs(views[0] - views[-1]).max() > 0.05  # the views do differ


@pytest.mark.parametrize("average", ["probabilities", "logits"])
@pytest.mark.parametrize(("window", "stride"), [((16, 20), (8, 12)), ((16, 20), None), ((16, 64), (5, 64))])
def test_sliding_window_equals_the_mean_at_every_pixel(window, stride, average):
    network, (rgb, depth) = Network(), frame(37, 50, seed=1)
    config = InferenceConfig(window=window, stride=stride, average=average)
    actual = predict(network, batch(rgb, depth), (37, 50), config)["ensemble"][0].numpy()

    answers = []  # (top, left, scores (K, h, w)) of every window
    tops, lefts = ([], [])
    for starts, side, length, step in zip((tops, lefts), (37, 50), window, stride or (11, 14), strict=True):
        position = 0
        while position + length < side:
            starts.append(position)
            position += step
        starts.append(max(0, side - length))
    for top, left in product(tops, lefts):
        part = np.s_[top : top + window[0], left : left + window[1]]
        logits = slow_resize(slow_logits(network, rgb[part].astype(float), depth[part]), *depth[part].shape)
        answers.append((top, left, softmax(logits) if average == "probabilities" else logits))
    for i, j in product(range(37), range(50)):
        said = [
            scores[:, i - top, j - left]
            for top, left, scores in answers
            if 0 <= i - top < scores.shape[1] and 0 <= j - left < scores.shape[2]
        ]
        np.testing.assert_allclose(actual[:, i, j], np.mean(said, 0), atol=1e-4)
    assert len(network.seen) == 2 * len(answers)


def test_windows_cover_every_pixel_and_stay_inside():
    rng = np.random.default_rng(0)
    for _ in range(200):
        image, window = rng.integers(1, 40, 2), rng.integers(1, 30, 2)
        stride = tuple(int(rng.integers(1, side + 1)) for side in window)
        covered, counted = np.zeros(image, int), 0
        for rows, columns in windows(tuple(image), tuple(window), stride):
            assert rows.start >= 0 and columns.start >= 0
            part = covered[rows, columns]
            assert part.shape == tuple(np.minimum(image, window))  # of full size wherever the image is
            covered[rows, columns] += 1
            counted += 1
        assert covered.min() >= 1
        assert counted == np.prod([1 + -(-max(0, i - w) // s) for i, w, s in zip(image, window, stride, strict=True)])


def test_a_single_view_is_the_networks_own_answer_at_the_labels_size():
    network, (rgb, depth) = Network(), frame(24, 32)
    actual = predict(network, batch(rgb, depth), (48, 64), InferenceConfig())["ensemble"][0].numpy()
    np.testing.assert_allclose(actual, slow_resize(slow_logits(network, rgb.astype(float), depth), 48, 64), atol=1e-4)


@pytest.mark.parametrize(
    ("size", "input_height", "seen"), [(None, None, (24, 32)), (None, 12, (12, 16)), ((20, 20), 12, (20, 20))]
)
def test_the_network_sees_what_it_was_trained_on(size, input_height, seen):
    network = Network(input_height=input_height)
    predict(network, batch(*frame(24, 32)), (24, 32), InferenceConfig(size=size))
    assert network.seen == [{"rgb": seen, "depth": seen}]


def test_what_evaluation_gives_the_network_is_bounded_as_the_predictors_is(caplog):
    network = Network(input_height=12)
    with pytest.raises(ValueError, match=r"images of 2×200 .* resized to 12×1200 .* more than 4 times the 12×16"):
        predict(network, batch(*frame(2, 200)), (2, 200), InferenceConfig())
    with pytest.raises(ValueError, match=r"resized to 24×9600 .* choose a smaller one"):
        predict(network, batch(*frame(2, 800)), (2, 800), InferenceConfig("multi", scales=(0.5, 2.0)))
    assert not network.seen
    caplog.clear()
    predict(network, batch(*frame(2, 200)), (2, 200), InferenceConfig(window=(12, 24)))
    assert {seen["rgb"] for seen in network.seen} == {(12, 24)} and not caplog.records
    predict(network, batch(*frame(24, 32)), (24, 32), InferenceConfig("multi", scales=(3.0,)))
    assert "resized to 36×48 for the network, more than 4 times" in caplog.text


def test_resized_depth_is_never_a_mean_of_two():
    class Echo(nn.Module):
        config = SimpleNamespace(input_height=None, normalization=None, temperature=1)

        def forward(self, inputs):
            self.values = set(inputs["depth"].unique().tolist())
            return {"ensemble": inputs["depth"].repeat(1, K, 1, 1)}

    depth = torch.zeros(1, 1, 24, 32)
    depth[..., ::3] = 4.0
    network = Echo()
    predict(network, {"depth": depth}, (24, 32), InferenceConfig(size=(17, 23)))
    assert network.values == {0.0, 4.0}


def test_mirrored_normals_point_the_other_way():
    """A network that tells left-facing from right-facing surfaces says the same of a mirrored view."""

    class Sideways(nn.Module):
        config = SimpleNamespace(input_height=None, normalization=None, temperature=1)

        def forward(self, inputs):
            x = inputs["normal"][:, :1]
            return {"ensemble": torch.cat([x, -x], 1)}

    normal = torch.full((1, 3, 8, 8), 128, dtype=torch.uint8)
    normal[:, 0, :, :4] = 230
    config = InferenceConfig("multi", (1.0,), average="logits")
    plain = predict(Sideways(), {"normal": normal}, (8, 8), InferenceConfig())["ensemble"]
    both = predict(Sideways(), {"normal": normal}, (8, 8), config)["ensemble"]
    mirrored = 2 * both - plain  # what the mirrored view says
    x = normal[0, 0].float().flip(-1) / 127.5 - 1
    assert torch.allclose(mirrored[0, 0], (-x).flip(-1), atol=1e-2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scales": ()}, "scales"),
        ({"scales": (0.0, 1.0)}, "scales"),
        ({"window": (0, 3)}, "window"),
        ({"stride": (3, 3)}, "stride.*window"),
        ({"window": (8, 8), "stride": (9, 8)}, "stride.*gaps"),
    ],
)
def test_impossible_modes_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        InferenceConfig(**wrong)
