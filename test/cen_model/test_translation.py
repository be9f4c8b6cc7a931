# SPDX-License-Identifier: Apache-2.0
"""The task of translation: its losses, the import of published generators, and their use on arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import cen_model
from cen_model.cli.import_published import main
from cen_model.config import SegmentationConfig, TranslationConfig
from cen_model.data.data_config import DataConfig
from cen_model.data.loaders import evaluation_loader
from cen_model.losses import translation
from cen_model.modalities import to_image
from cen_model.models import build
from cen_model.nn.discriminator import Discriminator
from cen_model.registry import REGISTRY
from cen_model.translator import Translator

SMALL = TranslationConfig(filters=4)
PUBLISHED = replace(REGISTRY["unet-published"], filters=4)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build(SMALL).eval()


def image(channels=1, batch=1):
    return torch.rand(batch, channels, 256, 256) * 2 - 1


def test_losses_are_pix2pixs():
    torch.manual_seed(0)
    generator, discriminator = build(SMALL), Discriminator(1, 3, filters=4)
    inputs, target = {"shade": image(), "texture": image()}, image(3)
    outputs = generator(inputs)
    fake = translation.judge(discriminator, inputs, outputs)
    real = translation.judge(discriminator, inputs, target)
    assert all(logits.shape == (1, 1, 30, 30) for logits in (*fake.values(), *real.values()))

    def bce(pair, answer):
        probability = discriminator(*pair).sigmoid()
        return F.binary_cross_entropy(probability, torch.full_like(probability, answer))

    pairs = [(inputs[name], outputs[name]) for name in inputs]
    real_pairs = [(inputs[name], target) for name in inputs]
    terms = translation.generator_losses(fake, outputs, target)
    torch.testing.assert_close(terms["gan"], sum(bce(pair, 1.0) for pair in pairs))
    names = ("shade", "texture", "ensemble")
    torch.testing.assert_close(terms["l1"], 100 * sum((outputs[n] - target).abs().mean() for n in names))
    expected = sum(bce(r, 1.0) + bce(f, 0.0) for r, f in zip(real_pairs, pairs, strict=True)) / 2
    torch.testing.assert_close(translation.discriminator_loss(real, fake), expected)


def test_the_discriminator_sees_gray_inputs_as_its_generator_does():
    """The published networks take three channels, whatever the modality has."""
    discriminator = Discriminator(3, 3, filters=4)
    inputs, outputs = {"shade": image(), "texture": image()}, {"shade": image(3), "texture": image(3)}
    logits = translation.judge(discriminator, inputs, outputs)
    for name, gray in inputs.items():
        torch.testing.assert_close(logits[name], discriminator(gray.expand(-1, 3, -1, -1), outputs[name]))


def test_the_only_output_of_a_single_modality_counts_once():
    outputs, target = {"shade": image(3)}, image(3)
    outputs["ensemble"] = outputs["shade"].detach()
    terms = translation.generator_losses({"shade": torch.zeros(1, 1, 30, 30)}, outputs, target)
    torch.testing.assert_close(terms["l1"], 100 * (outputs["shade"] - target).abs().mean())


def published_weights(model, modalities):
    """The state dict that the published code would have written for our network."""
    weights = {"alpha": model.ensemble.alpha.detach()}
    for name, tensor in model.state_dict().items():
        side, _, rest = name.partition(".")
        if side == "ensemble":
            continue
        level, layer, *rest = rest.split(".", 1)[1].split(".", 2)
        block = f"{'conv' if side == 'encoder' else 'deconv'}{int(level) + 1}"
        if layer == "conv":
            weights[f"{block}.{'conv' if side == 'encoder' else 'deconv'}.module.{rest[0]}"] = tensor
        else:
            m, kind = rest[0].removeprefix("norms.").split(".") if modalities > 1 else (0, rest[0])
            weights[f"{block}.insnorm_{'conv' if side == 'encoder' else 'deconv'}.insnorm_{m}.{kind}"] = tensor
    for m in range(modalities):
        weights[f"deconv8.insnorm_deconv.insnorm_{m}.weight"] = torch.zeros(3)
    return weights


@pytest.mark.parametrize(("names", "prefix"), [(("depth",), ""), (("shade", "normal", "depth"), "module.")])
def test_published_checkpoints_of_any_width_and_number_of_modalities_are_imported(tmp_path, names, prefix):
    torch.manual_seed(0)
    exchange = PUBLISHED.exchange if len(names) > 1 else None
    # Published generators make three channels of every target.
    model = build(replace(PUBLISHED, modalities=names, target="depth", filters=6, exchange=exchange)).eval()
    weights = published_weights(model, len(names))
    torch.save({prefix + name: tensor for name, tensor in weights.items()}, tmp_path / "in.pkl")
    files = [str(tmp_path / "in.pkl"), str(tmp_path / "out.safetensors")]
    main([*files, "--modalities", *names, "--target", "depth"])
    loaded = cen_model.load(tmp_path / "out.safetensors")
    assert loaded.config == model.config
    inputs = {name: image(3) for name in names}
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(loaded(inputs).values(), model(inputs).values(), strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--modalities", "shade"], "has 2 modalities, 1 were named"),
        ([], "has 2 modalities, 0 were named"),
        (["--modalities", "shade", "texture", "--target", "dept"], "did you mean depth"),
        (["--modalities", "shade", "shade"], "expected one or more different names"),
        (["--modalities", "shade", "textur"], "did you mean texture"),
    ],
)
def test_names_that_do_not_fit_the_published_checkpoint(tmp_path, arguments, message):
    torch.save(published_weights(build(PUBLISHED), 2), tmp_path / "in.pkl")
    with pytest.raises(ValueError, match=message):
        main([str(tmp_path / "in.pkl"), str(tmp_path / "out.safetensors"), *arguments])
    assert not (tmp_path / "out.safetensors").exists()


def test_translator_gives_what_the_network_gives(model):
    rng = np.random.default_rng(0)
    arrays = {name: rng.integers(0, 256, (256, 256), np.uint8) for name in ("shade", "texture")}
    result = Translator(model, "cpu").translate(arrays)
    with torch.no_grad():
        outputs = model({name: torch.from_numpy(a)[None, None] / 127.5 - 1 for name, a in arrays.items()})
    for array, name in ((result.image, "ensemble"), *((a, n) for n, a in result.by_modality.items())):
        expected = (outputs[name][0].permute(1, 2, 0).numpy() + 1) * 127.5
        assert array.shape == (256, 256, 3) and array.dtype == np.uint8
        assert np.abs(array - expected).max() <= 0.51
    assert list(result.by_modality) == ["shade", "texture"]


def test_translator_answers_at_the_size_of_its_images(model):
    arrays = {"shade": np.zeros((200, 300), np.uint8), "texture": np.full((200, 300, 1), 255, np.uint8)}
    assert Translator(model, "cpu").translate(arrays).image.shape == (200, 300, 3)


class View:
    """One view of a dataset, its depth a wall that rises to the right, with holes, in millimeters."""

    modalities, labels = ("depth", "normal", "segment2d"), None

    def __init__(self, size):
        rng = np.random.default_rng(0)
        depth = np.linspace(700, 9000, size[1]) + rng.integers(0, 50, size)
        depth[rng.random(size) < 0.2] = 0
        self.frame = {"depth": depth.astype(np.uint16)}
        self.frame |= {name: rng.integers(0, 256, (*size, 3), np.uint8) for name in ("normal", "segment2d")}

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.frame


@pytest.fixture
def deep():
    """A network of depth, and a list that gets what it is given."""
    torch.manual_seed(0)
    network, given = build(replace(SMALL, modalities=View.modalities, exchange=None)).eval(), []
    network.register_forward_pre_hook(lambda module, arguments: given.append(arguments[0]))
    return network, given


@pytest.mark.parametrize("size", [(256, 256), (200, 300)])
def test_a_network_of_depth_is_given_what_training_gives(deep, size):
    network, given = deep
    view = View(size)
    (batch,) = evaluation_loader(view, DataConfig(size=(256, 256)), View.modalities, 1)
    expected = {name: to_image(name, batch[name]) for name in View.modalities}
    meters = view.frame["depth"] / 1000
    unknown = meters.copy()
    unknown[meters == 0] = np.resize([np.nan, np.inf, -1], (meters == 0).sum())
    for depth in (view.frame["depth"], meters, meters.astype(np.float32), unknown):
        Translator(network, "cpu").translate(view.frame | {"depth": depth})
        for name, image in given.pop().items():
            torch.testing.assert_close(image, expected[name], rtol=0, atol=1e-6)


def test_depth_is_given_as_its_logarithm_and_holes_do_not_spread(deep):
    network, given = deep
    for size in ((256, 256), (200, 300)):
        depth = View(size).frame["depth"]
        Translator(network, "cpu").translate(View(size).frame)
        image = given.pop()["depth"][0, 0].numpy()
        known = 2 * np.log(1 + 512 * (np.unique(depth[depth > 0]) / 1000)) / 11.1 - 1
        assert (image == -1).mean() == pytest.approx(0.2, abs=0.01)
        assert all(np.abs(known - value).min() < 1e-6 for value in np.unique(image[image > -1]))


@pytest.mark.parametrize("size", [(2, 9000), (8700, 1)])
def test_images_of_extreme_shape_are_refused(deep, size):
    with pytest.raises(ValueError, match=rf"images of {size[0]}×{size[1]} .* expected sides of 1 to 8192"):
        Translator(deep[0], "cpu").translate(View(size).frame)


@pytest.mark.parametrize(
    "depth", [np.zeros((256, 256), np.uint8), np.zeros((256, 256, 1), np.uint16), np.zeros((256, 256), np.int32)]
)
def test_depth_that_was_scaled_is_refused(deep, depth):
    with pytest.raises(ValueError, match=f"depth: expected uint16 millimeters or float meters .* got {depth.dtype}"):
        Translator(deep[0], "cpu").translate(View((256, 256)).frame | {"depth": depth})


def test_dropout_and_running_statistics_are_off_unless_asked_for(model):
    arrays = {name: np.arange(65536, dtype=np.uint32).astype(np.uint8).reshape(256, 256) for name in SMALL.modalities}
    plain = Translator(model, "cpu")
    first, second = plain.translate(arrays).image, plain.translate(arrays).image
    assert np.array_equal(first, second)
    random = Translator(model, "cpu", dropout=True)
    assert not np.array_equal(random.translate(arrays).image, random.translate(arrays).image)
    running = Translator(model, "cpu", running_statistics=True).translate(arrays).image
    assert not np.array_equal(running, first)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"texture": None}, "texture: missing"),
        ({"texture": np.zeros((256, 256), np.float32)}, "texture: expected uint8 .* got float32"),
        (
            {"texture": np.zeros((256, 255), np.uint8)},
            r"texture: .* 256×256 pixels as shade has, got uint8 \(256, 255\)",
        ),
        ({"texture": np.zeros((256, 256, 3), np.uint8)}, r"texture: .* C dividing 1 .* got uint8 \(256, 256, 3\)"),
        ({"shade": np.zeros(256, np.uint8)}, r"shade: expected uint8 \(H, W\) .* got uint8 \(256,\)"),
        ({"shade": np.zeros((0, 256), np.uint8)}, r"shade: expected uint8 .* got uint8 \(0, 256\)"),
    ],
)
def test_images_that_do_not_fit_are_named(model, change, message):
    images = {name: np.zeros((256, 256), np.uint8) for name in SMALL.modalities} | change
    images = {name: array for name, array in images.items() if array is not None}
    with pytest.raises(ValueError, match=message):
        Translator(model, "cpu").translate(images)


def test_a_segmentation_network_is_no_translator():
    small = SegmentationConfig(encoder="resnet18", encoder_width=0.125, decoder_width=8)
    with pytest.raises(ValueError, match="use Predictor"):
        Translator(build(small).eval())
