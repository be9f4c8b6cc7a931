# SPDX-License-Identifier: Apache-2.0
"""The predictor against the same steps taken by hand with torchvision, on arrays as sensors give them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as TF

from cen_model import checkpoint
from cen_model.config import SegmentationConfig, TranslationConfig
from cen_model.models import build
from cen_model.predictor import Deployment, Predictor

RGB_MEAN, RGB_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
GROUPS = {"soft": ["bed", "sofa"], "hard": ["tv", "books", "chair", "wall"]}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = SegmentationConfig(encoder="resnet18", encoder_width=0.25, decoder="light_refinenet", decoder_width=16)
    return build(config).eval()


@pytest.fixture(scope="module")
def frame():
    generator = np.random.default_rng(0)
    rgb = generator.integers(0, 256, (96, 128, 3), np.uint8)
    depth = generator.integers(400, 5000, (96, 128)).astype(np.uint16)
    depth[10:20, 30:50] = 0
    return rgb, depth


def by_hand(model, rgb, meters, size):
    image = TF.to_dtype(torch.from_numpy(rgb).permute(2, 0, 1), torch.float32, scale=False)
    image = TF.resize(image, size, antialias=True)
    image = TF.normalize(image / 255, RGB_MEAN, RGB_STD)
    depth = TF.resize(torch.from_numpy(meters)[None], size, interpolation=TF.InterpolationMode.NEAREST)
    with torch.no_grad():
        logits = model({"rgb": image[None], "depth": depth[None]})["ensemble"][0]
    return TF.resize(logits, list(rgb.shape[:2]), antialias=False).argmax(0).numpy()


@pytest.mark.parametrize("size", [(96, 128), (64, 96)])
def test_labels_agree_with_the_steps_taken_by_hand(model, frame, size):
    rgb, depth = frame
    labels = Predictor(model, size).predict(rgb, depth).labels
    expected = by_hand(model, rgb, depth.astype(np.float32) / 1000, list(size))
    assert labels.dtype == np.uint8 and labels.shape == rgb.shape[:2]
    assert (labels == expected).mean() > 0.999  # equal but for ties in the last bit
    assert len(np.unique(labels)) > 1


def test_images_are_taken_to_the_height_of_training(model, frame):
    """…with their own proportions: 96×128 becomes 48×64, not some fixed size."""
    trained = build(replace(model.config, input_height=48)).eval()
    trained.load_state_dict(model.state_dict())
    expected = Predictor(model, (48, 64)).predict(*frame).labels
    assert np.array_equal(Predictor(trained).predict(*frame).labels, expected)
    assert np.array_equal(Predictor(trained, (96, 128)).predict(*frame).labels, Predictor(model).predict(*frame).labels)


def of_height(model, height):
    """The same network, as one that was trained at that height."""
    return build(replace(model.config, input_height=height)).eval()


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ((3, 500), "images of 3×500 .* resized to 48×8000 .* more than 4 times the 48×64 of its training; crop"),
        ((16, 2048), "resized to 48×6144"),
        ((1, 400), "resized to 48×19200 .* expected sides of 1 to 8192; crop"),
        ((700, 3), "resized to 48×0 .* expected sides of 1 to 8192; crop the images, or choose .* .input_size"),
        ((0, 64), "images of 0×64 .* at least one pixel"),
        ((64, 0), "images of 64×0 .* at least one pixel"),
    ],
)
@pytest.mark.parametrize("backend", ["none", "eager"])
def test_images_that_would_make_too_much_of_the_network_are_refused(model, image, words, backend, tmp_path):
    """Before any memory is taken for it: no forward pass, no engine."""
    predictor = Predictor(of_height(model, 48), deployment=Deployment(backend, cache=tmp_path))
    with pytest.raises(ValueError, match=words):
        predictor.predict(np.zeros((*image, 3), np.uint8))
    with pytest.raises(ValueError, match=words):
        predictor.prepare(image)
    assert not list(tmp_path.iterdir())


def test_wide_images_up_to_four_times_the_area_are_labeled(model):
    """48 × 256 is four times 48 × 64."""
    predictor = Predictor(of_height(model, 48))
    assert predictor.predict(np.zeros((24, 128, 3), np.uint8)).labels.shape == (24, 128)
    with pytest.raises(ValueError, match="48×258"):
        predictor.predict(np.zeros((24, 129, 3), np.uint8))


def test_a_size_that_the_user_chose_is_warned_of_and_bounded_by_its_sides(model, caplog):
    network = of_height(model, 32)
    predictor = Predictor(network, size=(96, 160))
    for _ in range(3):
        assert predictor.predict(np.zeros((4, 300, 3), np.uint8)).labels.shape == (4, 300)
    (said,) = [record.getMessage() for record in caplog.records]
    assert "resized to 96×160 for the network, more than 4 times the 32×43 of its training" in said
    for size in ((8193, 1), (1, 9000), (0, 5)):
        with pytest.raises(ValueError, match=f"resized to {size[0]}×{size[1]} .* choose a smaller one"):
            Predictor(network, size=size).prepare((48, 64))


def test_buffers_of_ever_new_sizes_are_not_kept(model):
    predictor = Predictor(model)
    predictor.prepare((32, 32))
    for width in range(33, 53):
        predictor.predict(np.zeros((32, width, 3), np.uint8))
    assert len(predictor._engines) == 5 and (32, 32) in predictor._engines


@pytest.mark.parametrize("hole", [0.0, np.nan, np.inf, -np.inf, -1.0])
def test_every_kind_of_hole_is_the_same_hole(model, frame, hole):
    rgb, depth = frame
    meters = depth.astype(np.float32) / 1000
    meters[depth == 0] = hole
    predictor = Predictor(model)
    assert np.array_equal(predictor.predict(rgb, meters).labels, predictor.predict(rgb, depth).labels)


def test_without_depth_the_rgb_stream_answers(model, frame):
    rgb, depth = frame
    alone = Predictor(model, deployment=Deployment(branch="rgb")).predict(rgb, np.zeros_like(depth)).labels
    assert np.array_equal(Predictor(model).predict(rgb).labels, alone)
    assert not np.array_equal(Predictor(model).predict(rgb, depth).labels, alone)


@pytest.mark.parametrize("rest", ["other", "void"])
def test_labels_and_confidence_are_those_of_groups(model, frame, rest, tmp_path):
    """Summed here over the classes of each group, pixel by pixel, of probabilities at the image's own size."""
    path = tmp_path / "groups.yaml"
    path.write_text(json.dumps({"groups": GROUPS, "rest": rest}), encoding="utf-8")  # which is YAML too
    predictor = Predictor(model, deployment=Deployment(confidence=True), label_groups=path)
    assert predictor.classes == (*GROUPS, "other")[: 3 if rest == "other" else 2]
    rgb, depth = frame
    seen = predictor.predict(rgb, depth)
    inputs = {"rgb": TF.normalize(torch.from_numpy(rgb).permute(2, 0, 1) / 255, RGB_MEAN, RGB_STD)[None]}
    inputs["depth"] = torch.from_numpy(depth.astype(np.float32) / 1000)[None, None]
    with torch.no_grad():
        logits = TF.resize(model(inputs)["ensemble"], list(depth.shape), antialias=False)[0].double()
    probabilities = dict(zip(model.config.classes, logits.softmax(0).numpy(), strict=True))
    sums = [sum(probabilities.pop(name) for name in names) for names in GROUPS.values()]
    sums = np.stack([*sums, sum(probabilities.values())])
    expected = np.array([0, 1, 2 if rest == "other" else 255])[sums.argmax(0)]
    assert (seen.labels == expected).mean() > 0.999 and len(np.unique(expected)) > 1
    assert np.abs(seen.confidence - 255 * sums.max(0)).max() < 1


def test_groups_that_do_not_fit_the_network_are_refused(model):
    with pytest.raises(FileNotFoundError, match=r"label_groups 'none such': no such file, nor one of .*nyu13"):
        Predictor(model, label_groups="none such")
    with pytest.raises(ValueError, match=r"traversable.yaml: group 'traversable': the network tells none of floor"):
        Predictor(build(replace(model.config, classes=("cat", "dog"))).eval(), label_groups="traversable")


def test_read_only_and_strided_arrays_are_taken(model, frame):
    rgb, depth = frame
    expected = Predictor(model).predict(rgb, depth).labels
    rgb.setflags(write=False)
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    assert np.array_equal(Predictor(model).predict(bgr[..., ::-1], depth).labels, expected)


def test_load_takes_a_file(model, frame, tmp_path):
    checkpoint.save(tmp_path / "a.safetensors", model)
    predictor = Predictor.load(tmp_path / "a.safetensors", device="cpu")
    assert predictor.classes == model.config.classes
    assert np.array_equal(predictor.predict(*frame).labels, Predictor(model).predict(*frame).labels)


@pytest.mark.parametrize(
    ("rgb", "depth", "message"),
    [
        (np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8), np.uint16), "rgb: expected uint8"),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((4, 8), np.uint16), r"depth: expected .* \(8, 8\)"),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.int32), "int32"),
    ],
)
def test_arrays_of_another_kind_are_refused(model, rgb, depth, message):
    with pytest.raises(ValueError, match=message):
        Predictor(model).predict(rgb, depth)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TranslationConfig(filters=4), "got one for translation: use Translator"),
        (SegmentationConfig(("rgb", "normal"), encoder="resnet18", decoder_width=8), "got one of rgb, normal"),
    ],
)
def test_networks_that_cannot_label_rgb_and_depth_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        Predictor(build(config).eval())
