# SPDX-License-Identifier: Apache-2.0
"""Training of image-to-image translation: both players move as their losses say, and a run continues bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from lightning.fabric import Fabric
from rich.console import Console

from cen_model import checkpoint
from cen_model.losses.translation import discriminator_loss, generator_losses, judge
from cen_model.modalities import to_image
from cen_model.training.loop import open_split, train
from cen_model.training.run_config import parse
from cen_model.training.translation_task import TranslationTask
from helpers.paths import CONFIG

pytestmark = pytest.mark.usefixtures("scene_cache")
TRANSLATION = CONFIG / "train" / "translation.yaml"
TINY = [
    *("data.dataset=synthetic", "model.modalities=[depth, normal]", "model.filters=4", "data.workers=0"),
    "data.synthetic={size: [64, 64], train_scenes: 4, validation_scenes: 1, test_scenes: 1}",
    *("validate_every=1", "schedule.epochs=1", "optimizer.batch=2", "model.dropout=0"),
]


def tiny(output: Path, *overrides: str):
    return parse(["--config", str(TRANSLATION), *TINY, f"output={output}", *overrides])


def task_of(config, dataset=None) -> TranslationTask:
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.seed_everything(0, verbose=False)
    return TranslationTask(config, dataset, fabric)


def batch() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    shapes = {"depth": 1, "normal": 3, "rgb": 3}
    images = {
        name: torch.randint(0, 256, (2, channels, 256, 256), generator=random, dtype=torch.uint8)
        for name, channels in shapes.items()
    }
    return {**images, "depth": images["depth"].float() / 50, "index": torch.arange(2)}


FAMILY = {
    "cen": (),
    "merged": ("model.exchange=null", "model.fusion={method: concat, streams: merged}", "model.convs=private"),
    "of the ensemble alone": ("model.supervision=ensemble",),
    "aligned": ("model.exchange=null", "model.fusion={method: align}"),
}


@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("overrides", FAMILY.values(), ids=FAMILY)
def test_the_discriminator_steps_first_and_the_generator_against_it(
    tmp_path: Path, overrides: tuple[str, ...], passes: int
) -> None:
    """A step of ours against one by hand: plain modules, plain SGD, and one graph for all, dropout included."""
    plain = ("optimizer.kind=sgd", "optimizer.momentum=0", "optimizer.encoder_lr=0.01", "optimizer.decoder_lr=0.01")
    config = tiny(tmp_path, *overrides, *plain, f"optimizer.accumulate={passes}", "model.dropout=0.5")
    ours, theirs = task_of(config), task_of(config)
    torch.manual_seed(1)
    terms = ours.step(batch())
    left = torch.get_rng_state()

    generator, critic = theirs.network.train(), theirs.modules["discriminator"]
    torch.manual_seed(1)
    parts = []
    for at in torch.arange(2).chunk(passes):
        images = {name: to_image(name, batch()[name][at]) for name in ("depth", "normal")}
        outputs = generator(images)
        if "model.supervision=ensemble" in overrides:
            outputs = {"ensemble": outputs["ensemble"]}
        made = {name: outputs[name] for name in images} if "depth" in outputs else outputs["ensemble"]
        parts.append((images, to_image("rgb", batch()["rgb"][at]), outputs, made))
    assert torch.equal(left, torch.get_rng_state()), "as many random numbers as one pass draws"

    against = 0.0
    for images, real, _, made in parts:
        stopped = made.detach() if isinstance(made, torch.Tensor) else {n: image.detach() for n, image in made.items()}
        against += discriminator_loss(judge(critic, images, real), judge(critic, images, stopped)) / passes
    gradients = torch.autograd.grad(against, list(critic.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(critic.parameters(), gradients, strict=True):
            parameter -= 0.01 * gradient

    loss, l1 = config.exchange.penalty * generator.sparsity(), 0.0
    weight = config.model.fusion.weight if config.model.fusion else 0.0
    for images, real, outputs, made in parts:
        losses = generator_losses(judge(critic, images, made), outputs, real, weight)
        loss, l1 = loss + sum(losses.values()) / passes, l1 + losses["l1"].item() / passes
    parameters = list(generator.parameters())
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)

    assert terms["discriminator"].item() == pytest.approx(against.item(), rel=1e-5)
    assert terms["l1"].item() == pytest.approx(l1, rel=1e-5)
    assert sum(term.item() for name, term in terms.items() if name != "discriminator") == pytest.approx(loss.item())
    for (name, moved), before, gradient in zip(ours.network.named_parameters(), parameters, gradients, strict=True):
        expected = before if gradient is None else before - 0.01 * gradient
        assert torch.allclose(moved, expected, atol=1e-5), name
    for (name, statistic), expected in zip(ours.network.named_buffers(), generator.buffers(), strict=True):
        assert torch.allclose(statistic, expected, atol=1e-6), name
    for name, tensor in ours.modules["discriminator"].state_dict().items():
        assert torch.allclose(tensor, critic.state_dict()[name], atol=1e-5), name


def test_from_the_holes_of_a_depth_image_nothing_is_learned(tmp_path: Path) -> None:
    """Whatever a generator makes of them, it is neither wrong nor found out there."""
    config = tiny(tmp_path, "model.modalities=[rgb, normal]", "model.target=depth")
    holes = torch.zeros(2, 1, 256, 256, dtype=torch.bool)
    holes[..., :100, 30:] = True
    images = {**batch(), "depth": (batch()["depth"] + 0.1).masked_fill(holes, 0)}
    network = task_of(config).network.train()
    with torch.no_grad():
        made = network({name: to_image(name, images[name]) for name in ("rgb", "normal")})
    real = to_image("depth", images["depth"])
    wrong = [(image[:, :1] - real)[~holes] for image in made.values()]
    l1 = 100 * sum(each.abs().sum() / holes.numel() for each in wrong)
    assert task_of(config).step(images)["l1"].item() == pytest.approx(l1.item(), rel=1e-4)

    config = tiny(tmp_path, "model.modalities=[rgb, normal]", "model.target=depth", "exchange.penalty=0")
    task = task_of(config)
    before = {name: parameter.clone() for name, parameter in task.network.named_parameters()}
    task.step({**images, "depth": torch.zeros_like(images["depth"])})
    assert all(torch.equal(parameter, before[name]) for name, parameter in task.network.named_parameters())


def test_a_run_learns_continues_and_is_measured(tmp_path: Path) -> None:
    console = Console(quiet=True)
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    twice = ("model.dropout=0.5", "optimizer.accumulate=2")  # the images of a step are made a second time
    assert train(tiny(straight, *twice, "schedule.epochs=2"), console)
    assert train(tiny(resumed, *twice, "schedule.epochs=1"), console)
    forget_a_key(resumed / "last.state.pt")
    assert train(tiny(resumed, *twice, "schedule.epochs=2"), console)
    first, second = (torch.load(each / "last.state.pt", weights_only=True) for each in (straight, resumed))
    for name in ("network", "discriminator"):
        for key, tensor in first["modules"][name].items():
            assert torch.equal(tensor, second["modules"][name][key]), key
        moments = (each["optimizers"][name]["state"] for each in (first, second))
        for slots, others in zip(*(each.values() for each in moments), strict=True):
            assert torch.equal(slots["exp_avg_sq"], others["exp_avg_sq"])
    scores = json.loads((straight / "results.json").read_text())["scores"]
    assert set(scores) == {"depth", "normal", "ensemble"} and all(0 < each["mae"] < 2 for each in scores.values())
    assert checkpoint.load(straight / "best.safetensors").config.target == "rgb"
    assert open_split(tiny(straight), "train").modalities


def forget_a_key(path: Path) -> None:
    """As of a run that was begun before there was that key; it is continued with the default."""
    state = torch.load(path, weights_only=True)
    del state["config"]["model"]["supervision"]
    torch.save(state, path)


def test_half_precision_of_one_scale_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="16-mixed scales one loss, and there are two"):
        task_of(tiny(tmp_path, "hardware.precision=16-mixed"))
