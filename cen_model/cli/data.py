# SPDX-License-Identifier: Apache-2.0
"""`cen data check|show|prepare|pack`: look at data before training on it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cen_model.cli.data_options import read_options
from cen_model.data.augmentation import training_transform
from cen_model.data.catalog import open_dataset
from cen_model.data.data_config import SPLITS, DataConfig, Split
from cen_model.data.dataset import Dataset
from cen_model.data.resized import Resized
from cen_model.data.samples import Samples, Views
from cen_model.data.tools import check as checking
from cen_model.data.tools import check_report
from cen_model.data.tools.pack import pack
from cen_model.data.tools.prepare import prepare
from cen_model.data.transforms import from_sample
from cen_model.reporting.contact_sheet import contact_sheet, frame_images
from cen_model.utils.files import write_atomically
from cen_model.utils.validation import look_up

CONSOLE = Console(highlight=False)
OUTDOORS = ("cityscapes", "custom", "packed")
"""Datasets that are, or may be, no rooms."""


def check(data: DataConfig, modalities: Sequence[str], options: dict) -> int:
    """Exit code 0 if all is well, 1 if something is wrong."""
    opened, refused = _opened(data, modalities)
    found = {}
    with _bar(sum(map(len, opened.values()))) as advance:
        for split, dataset in opened.items():
            found[split] = checking.read_all(dataset, data.workers, advance)
    labels = next(iter(opened.values())).labels
    names = labels.names if labels else ()
    CONSOLE.print(check_report.counts(found))
    if labels:
        CONSOLE.print(check_report.histogram(found, names))
    problems = {split: each.problems for split, each in found.items()}
    problems["not there"] = [f"{split}: {why}" for split, why in refused.items()]
    believable = checking.ANYWHERE if data.dataset in OUTDOORS else checking.ROOMS
    doubts = {split: checking.doubts(each, len(names), believable) for split, each in found.items()}
    problems["doubts"] = [f"{split}: {each}" for split, some in doubts.items() for each in some]
    problems["shown twice"] = [each for one in found.values() for each in one.twice]
    problems["in train and elsewhere"] = checking.leaks(found)
    remarks = {split: checking.remarks(each, len(names)) for split, each in found.items()}
    for title, each in [*((f"{split} (remark)", each) for split, each in remarks.items()), *problems.items()]:
        for line in checking.grouped(each):
            CONSOLE.print(f"{title}: {line}", soft_wrap=True)
    if options["json"]:
        check_report.save_json(options["json"], found, names, {"problems": problems, "remarks": remarks})
    wrong = sum(map(len, problems.values()))
    CONSOLE.print(f"{wrong} problems" if wrong else "no problems")
    return int(bool(wrong))


def show(data: DataConfig, modalities: Sequence[str], options: dict) -> int:
    dataset = open_dataset(data, options["split"], modalities, render=False)
    chosen = _frames(len(dataset), options)
    if options["augmented"]:
        views = Views(Samples(dataset, modalities, data.size), training_transform(data, modalities), options["seed"])
        frames = [from_sample(views[0, index]) for index in chosen]
    else:
        frames = [dataset[index] for index in chosen]
    sheet = contact_sheet([frame_images(frame, modalities, dataset.labels) for frame in frames], dataset.labels)
    write_atomically(options["output"], lambda file: sheet.save(file, "PNG"))
    CONSOLE.print(f"{options['output']}: frames {', '.join(map(str, chosen))}", soft_wrap=True)
    return 0


def _frames(there: int, options: dict) -> list[int]:
    """The frames that are asked for, or some by chance."""
    if options["indices"]:
        for index in options["indices"]:
            if not 0 <= index < there:
                raise ValueError(f"indices: expected 0 to {there - 1}, got {index}")
        return list(options["indices"])
    if options["frames"] < 1:
        raise ValueError(f"frames: expected at least 1, got {options['frames']}")
    random = np.random.default_rng(options["seed"])
    return sorted(random.choice(there, min(options["frames"], there), replace=False).tolist())


def prepare_images(data: DataConfig, modalities: Sequence[str], options: dict) -> int:
    opened = _all(data, modalities)
    if data.size:
        opened = {split: Resized(dataset, data.size) for split, dataset in opened.items()}
    with _bar(sum(map(len, opened.values()))) as advance:
        path = prepare(opened, options["output"], advance)
    CONSOLE.print(f"train with data.dataset=custom data.root={path}", soft_wrap=True)
    return 0


def pack_images(data: DataConfig, modalities: Sequence[str], options: dict) -> int:
    opened, output = _all(data, modalities), options["output"]
    if options["train_only"]:
        opened.pop("test", None)
    with _bar(sum(map(len, opened.values()))) as advance:
        pack(opened, output, data.size or (240, 320), modalities, advance)
    size = output.stat().st_size / 2**20
    CONSOLE.print(f"{output}: {size:.1f} MiB; train with data.dataset=packed", soft_wrap=True)
    return 0


def _all(data: DataConfig, modalities: Sequence[str]) -> dict[Split, Dataset]:
    """The splits that are there; the others are spoken of."""
    opened, refused = _opened(data, modalities)
    for split, why in refused.items():
        CONSOLE.print(f"without {split}: {why}", soft_wrap=True)
    return opened


def _opened(data: DataConfig, modalities: Sequence[str]) -> tuple[dict[Split, Dataset], dict[Split, str]]:
    """Every split that is one of its own, and why others cannot be opened.

    Where validation and test are the same frames, only test. Raises ValueError with all that if none can.
    """
    data = replace(data, include_validation=False)
    opened: dict[Split, Dataset] = {}
    refused: dict[Split, str] = {}
    for split in ("train", "test", "validation"):
        try:
            dataset = open_dataset(data, split, modalities)
        except (ValueError, OSError) as error:
            refused[split] = str(error)
            continue
        same = [other for other in opened.values() if len(other) == len(dataset)]
        if not any(other.describe(0) == dataset.describe(0) for other in same):
            opened[split] = dataset
    if not opened:
        raise ValueError("; ".join(dict.fromkeys(refused.values())))
    return {split: opened[split] for split in SPLITS if split in opened}, refused


@contextmanager
def _bar(total: int) -> Iterator:
    columns = TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=CONSOLE, transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


COMMANDS = {
    "check": (check, "read everything once: counts, sizes, classes, depth, files that are damaged or do not fit"),
    "show": (show, "draw a contact sheet of some frames"),
    "prepare": (prepare_images, "turn MATLAB files and the like into folders of images"),
    "pack": (pack_images, "put a whole dataset into one small file"),
}
EXAMPLES = {
    "check": "cen data check --dataset nyudv2 --root FOLDER",
    "show": "cen data show config/train/synthetic.yaml --modalities rgb,depth,normal --output sheet.png",
    "prepare": "cen data prepare --dataset nyudv2 --root FOLDER --output images",
    "pack": "cen data pack --dataset nyudv2 --root FOLDER --size 240x320 --output nyudv2.packed.safetensors",
}
HELP = """\
usage: cen data COMMAND [CONFIG] [ARGUMENT ...]

Look at data before training on it. Each command takes a training configuration, of which `data` is read and
overridden by data.root=FOLDER and the like, or --dataset and --root.

{commands}

examples:
  {examples}"""


def main(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help(), file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    command, *rest = arguments
    try:
        run, about = look_up("command", command, COMMANDS)
        data, options = read_options(command, f"{about[0].upper()}{about[1:]}.", f"example: {EXAMPLES[command]}", rest)
        return run(data, options["modalities"], options)
    except (ValueError, OSError) as error:
        CONSOLE.print(f"cen data: {error}", soft_wrap=True)
        return 2


def _help() -> str:
    lines = (f"  {command:<8} {about}" for command, (_, about) in COMMANDS.items())
    return HELP.format(commands="\n".join(("commands:", *lines)), examples="\n  ".join(EXAMPLES.values()))
