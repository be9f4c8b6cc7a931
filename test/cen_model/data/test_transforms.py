# SPDX-License-Identifier: Apache-2.0
"""Transforms: one geometry for all modalities and the label; what is jittered, blanked or mirrored where it must be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from cen_model.classes import VOID
from cen_model.data.augmentation import training_transform
from cen_model.data.data_config import DataConfig
from cen_model.data.transforms import Sample, to_sample

HEIGHT, WIDTH = 40, 60
GRAY = (124, 116, 104)  # ImageNet's mean in 8 bits
AS_IT_IS = DataConfig(crop=(HEIGHT, WIDTH), scale=(1.0, 1.0), mirror=0.0, jitter=0.0)
NAMES = ("rgb", "depth", "normal", "hha", "shade", "edge", "texture", "curvature")


def coordinate_frame() -> dict[str, np.ndarray]:
    """A frame whose images all tell, in their own way, which pixel (x, y) they show."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    image = np.stack([4 * x, 4 * y, np.zeros_like(x)], axis=-1).astype(np.uint8)
    plane = (2 * x + 2 * y).astype(np.uint8)
    images = dict.fromkeys(("rgb", "normal", "hha", "curvature"), image)
    planes = dict.fromkeys(("shade", "edge", "texture"), plane)
    depth = (y * WIDTH + x + 1).astype(np.uint16)
    return {**images, **planes, "depth": depth, "label": label_of(x, y).astype(np.uint8)}


def label_of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (7 * y + 3 * x) % 200


def view(config: DataConfig, seed: int = 0, inputs: tuple[str, ...] = NAMES, names: tuple[str, ...] = NAMES) -> Sample:
    torch.manual_seed(seed)
    return training_transform(config, inputs)(to_sample(coordinate_frame(), names))


def changed(sample: Sample, other: Sample) -> set[str]:
    return {name for name in other if not torch.equal(sample[name], other[name])}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.5, 0.9), (1.3, 2.0)])
def test_geometry_is_joint(scale: tuple[float, float], seed: int) -> None:
    sample = view(replace(AS_IT_IS, crop=(32, 48), scale=scale), seed)
    depth, label = sample["depth"].numpy()[0], sample["label"].numpy()
    assert depth.shape == label.shape == (32, 48)
    padding = depth == 0
    assert np.array_equal(padding, label == VOID)

    y, x = np.divmod(np.round(depth[~padding] * 1000).astype(int) - 1, WIDTH)
    assert np.array_equal(label[~padding], label_of(x, y)), "depth and label show different pixels"
    # Images are bilinear, 4 gray values to the pixel of the frame: they may differ from the nearest by an output pixel.
    tolerance = 4 * max(1.0, 1 / scale[0]) + 1
    for name in set(NAMES) - {"depth"}:
        image = sample[name].numpy().astype(int)
        assert image.shape[1:] == (32, 48)
        assert ((GRAY if name == "rgb" else 128) == image[:, padding].T).all(), name
        expected = [4 * x, 4 * y] if len(image) == 3 else [2 * x + 2 * y]
        for plane, values in zip(image, expected, strict=False):
            assert np.abs(plane[~padding] - values).max() <= tolerance, name


def test_a_mirror_flips_everything_and_turns_normals_round() -> None:
    kept, flipped = view(AS_IT_IS), view(replace(AS_IT_IS, mirror=1.0))
    assert np.array_equal(kept["label"].numpy(), coordinate_frame()["label"])
    for name in set(kept) - {"normal"}:
        assert torch.equal(kept[name].flip(-1), flipped[name]), name
    turned = kept["normal"].flip(-1).clone()
    turned[0] = 255 - turned[0]
    assert torch.equal(turned, flipped["normal"])


def test_a_mirrored_wall_faces_the_other_side() -> None:
    """A plane seen from the left has, in the mirror, the normal of the same plane seen from the right."""
    normal = np.array([0.6, 0.0, -0.8])
    encoded = np.round((normal + 1) * 127.5).astype(np.uint8)
    sample = to_sample({"normal": np.tile(encoded, (8, 8, 1))}, ["normal"])
    mirrored = training_transform(replace(AS_IT_IS, crop=(8, 8), mirror=1.0), ["normal"])(sample)["normal"]
    np.testing.assert_allclose(mirrored[:, 3, 3].numpy() / 127.5 - 1, normal * [-1, 1, 1], atol=1 / 127)


def test_jitter_changes_rgb_alone() -> None:
    assert changed(view(replace(AS_IT_IS, jitter=0.5)), view(AS_IT_IS)) == {"rgb"}


def test_targets_are_moved_but_neither_jittered_nor_blanked() -> None:
    config = replace(AS_IT_IS, jitter=0.5, cutout=1.0, modality_dropout=1.0)
    for seed in range(8):
        assert changed(view(config, seed, ("depth", "normal")), view(AS_IT_IS)) == {"depth", "normal"}
    moved = view(replace(config, mirror=1.0), inputs=("depth", "normal"))
    assert torch.equal(moved["rgb"], view(AS_IT_IS)["rgb"].flip(-1))


def test_depth_is_meters_from_either_unit() -> None:
    millimeters = coordinate_frame()["depth"]
    for depth in (millimeters, millimeters.astype(np.float32) / 1000):
        moved = training_transform(AS_IT_IS, ["depth"])(to_sample({"depth": depth}, ["depth"]))["depth"]
        assert moved.dtype == torch.float32
        np.testing.assert_allclose(moved[0].numpy(), millimeters / 1000, rtol=1e-6)


def test_a_cutout_is_one_rectangle_of_every_input() -> None:
    sizes, starts = set(), set()
    for seed in range(20):
        sample, original = view(replace(AS_IT_IS, cutout=1.0), seed), view(AS_IT_IS)
        rows, columns = np.nonzero(sample["depth"].numpy()[0] == 0)
        rectangle = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) == height * width, "no rectangle"
        assert 0.1 * HEIGHT <= height <= 0.4 * HEIGHT and 0.1 * WIDTH <= width <= 0.4 * WIDTH
        sizes.add((height, width))
        starts.add((rows.min(), columns.min()))
        for name in NAMES:
            expected = original[name].numpy().copy()
            neutral = {"rgb": np.array(GRAY)[:, None, None], "depth": 0}.get(name, 128)
            expected[(slice(None), *rectangle)] = neutral
            assert np.array_equal(sample[name].numpy(), expected), name
        assert torch.equal(sample["label"], original["label"])
    assert len(sizes) > 10 and len(starts) > 10


@pytest.mark.parametrize("names", [("rgb", "depth"), ("rgb", "depth", "normal"), ("normal", "shade", "edge")])
def test_dropout_blanks_one_modality_at_a_time_and_each_in_turn(names: tuple[str, ...]) -> None:
    dropped = []
    for seed in range(30):
        sample = view(replace(AS_IT_IS, modality_dropout=1.0), seed, names, names)
        (name,) = changed(sample, view(AS_IT_IS, 0, names, names))
        neutral = {"rgb": torch.tensor(GRAY)[:, None, None], "depth": torch.tensor(0.0)}.get(name, torch.tensor(128))
        assert (sample[name] == neutral).all()
        dropped.append(name)
    assert set(dropped) == set(names)


def test_a_single_modality_is_never_dropped() -> None:
    config = replace(AS_IT_IS, modality_dropout=1.0)
    assert all(not changed(view(config, seed, ("rgb",)), view(AS_IT_IS)) for seed in range(5))


@pytest.mark.parametrize("key", ["cutout", "modality_dropout"])
def test_probabilities_are_probabilities(key: str) -> None:
    config = replace(AS_IT_IS, **{key: 0.3})
    hits = sum(bool(changed(view(config, seed), view(AS_IT_IS))) for seed in range(200))
    assert 40 <= hits <= 80  # 60 are expected, three deviations are 19


@pytest.mark.parametrize("name", ["segment2d", "segment25d"])
def test_no_color_is_made_between_two_segments(name: str) -> None:
    colors = np.array([[10, 20, 30], [200, 100, 0]], np.uint8)
    segments = np.repeat(colors, 20, axis=0)[None].repeat(20, axis=0)
    transform = training_transform(replace(AS_IT_IS, crop=(20, 40), scale=(1.5, 1.7), jitter=0.5), [name])
    moved = transform(to_sample({name: segments}, [name], (30, 60)))[name]
    seen = {tuple(pixel) for pixel in moved.flatten(1).T.tolist()}
    assert seen == {tuple(color) for color in colors.tolist()}


def test_frames_are_resized_first() -> None:
    sample = to_sample(coordinate_frame(), ["rgb", "depth"], (20, 30))
    assert sample["rgb"].shape == (3, 20, 30) and sample["label"].shape == (20, 30)
    assert sample["depth"].dtype == torch.uint16
    frame = coordinate_frame()
    assert set(np.unique(sample["label"])) <= set(np.unique(frame["label"]))
    pixels = {(d, v) for d, v in zip(frame["depth"].ravel(), frame["label"].ravel(), strict=True)}
    assert {*zip(sample["depth"].numpy().ravel(), sample["label"].numpy().ravel(), strict=True)} <= pixels
    halves = frame["rgb"].reshape(20, 2, 30, 2, 3).mean((1, 3)).transpose(2, 0, 1)
    assert np.abs(sample["rgb"].numpy()[:, 1:-1, 1:-1] - halves[:, 1:-1, 1:-1]).max() <= 1


def test_the_shorter_side_never_gets_too_short() -> None:
    config = replace(AS_IT_IS, scale=(0.1, 0.1), min_side=30, crop=(30, 45))
    assert (view(config)["depth"] > 0).all(), "the scaled frame was smaller than 30×45 and had to be padded"


def test_translation_resizes_then_crops() -> None:
    config = replace(AS_IT_IS, crop=(32, 32))
    sample = training_transform(config, ["depth"])(to_sample(coordinate_frame(), ["depth", "rgb"], (36, 36)))
    assert sample["depth"].shape == (1, 32, 32) and (sample["depth"] > 0).all()


def test_frames_without_labels_are_fine() -> None:
    frame = coordinate_frame()
    del frame["label"]
    assert set(training_transform(AS_IT_IS, ["rgb"])(to_sample(frame, ["rgb"]))) == {"rgb"}


def test_missing_modalities_are_named() -> None:
    with pytest.raises(ValueError, match="frames have rgb; missing depth"):
        to_sample({"rgb": coordinate_frame()["rgb"]}, ["rgb", "depth"])


def test_arrays_of_any_strides_are_read() -> None:
    image = coordinate_frame()["rgb"]
    sample = to_sample({"rgb": image[::-1, ::2]}, ["rgb"])
    assert np.array_equal(sample["rgb"].permute(1, 2, 0).numpy(), image[::-1, ::2])


@pytest.mark.parametrize("seed", range(4))
def test_a_rotation_is_joint(seed: int) -> None:
    sample = view(replace(AS_IT_IS, rotation=40.0), seed)
    depth, label = sample["depth"].numpy()[0], sample["label"].numpy()
    padding = depth == 0
    assert 0 < padding.sum() < 0.5 * padding.size
    assert np.array_equal(padding, label == VOID)
    y, x = np.divmod(np.round(depth[~padding] * 1000).astype(int) - 1, WIDTH)
    assert np.array_equal(label[~padding], label_of(x, y)), "depth and label show different pixels"


def test_normals_turn_with_the_image() -> None:
    """Turned counterclockwise by a quarter, what faced right faces up; y points down."""
    normal = np.array([0.6, 0.0, -0.8])
    encoded = np.round((normal + 1) * 127.5).astype(np.uint8)
    sample = to_sample({"normal": np.tile(encoded, (8, 8, 1))}, ["normal"])
    turned = v2.functional.rotate(sample["normal"], 90)
    np.testing.assert_allclose(turned[:, 3, 3].numpy() / 127.5 - 1, [0.0, -0.6, -0.8], atol=1 / 127)


def test_a_scale_may_bring_the_camera_nearer() -> None:
    plain, nearer = (view(replace(AS_IT_IS, scale=(1.6, 1.6), scale_depth=moves)) for moves in (False, True))
    assert changed(nearer, plain) == {"depth"}
    np.testing.assert_allclose(nearer["depth"].numpy(), plain["depth"].numpy() / 1.6, rtol=1e-6)
