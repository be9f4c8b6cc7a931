# SPDX-License-Identifier: Apache-2.0
"""Look at data before training on it: `python -m cen_model.data check|show|prepare|pack`.

    check    read everything once: counts, sizes, classes, depth, files that are damaged or do not fit
    show     a contact sheet of some frames
    prepare  turn MATLAB files and the like into folders of images
    pack     put a whole dataset into one small file

Each takes a training configuration (--config FILE, of which `data` is read), or --dataset and --root.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import numpy as np
import yaml
from jsonargparse import ArgumentParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from cen_model.data import check as checking
from cen_model.data.classes import VOID
from cen_model.data.config import DataConfig, Split
from cen_model.data.contact_sheet import contact_sheet, from_sample
from cen_model.data.dataset import Dataset
from cen_model.data.datasets import open_dataset
from cen_model.data.pack import pack
from cen_model.data.prepare import prepare
from cen_model.data.samples import Samples, Views
from cen_model.data.transforms import training_transform
from cen_model.files import write_atomically

CONSOLE = Console(highlight=False)
SPLITS: tuple[Split, ...] = get_args(Split)
MIB = 2**20


def check(data: DataConfig, modalities: Sequence[str], options: dict) -> int:
    """Exit code 0 if all is well, 1 if something is wrong."""
    opened = _opened(data, modalities)
    found = {}
    with _bar(sum(map(len, opened.values()))) as advance:
        for split, dataset in opened.items():
            found[split] = checking.read_all(dataset, data.workers, advance)
    labels = next(iter(opened.values())).labels
    _print_counts(found)
    if labels:
        _print_classes(found, labels.names)
    problems = {split: each.problems for split, each in found.items()}
    problems["doubts"] = [
        f"{split}: {each}"
        for split, one in found.items()
        for each in checking.doubts(one, len(labels.names) if labels else 0)
    ]
    problems["shown twice"] = [each for one in found.values() for each in one.twice]
    problems["in train and elsewhere"] = checking.leaks(found)
    for title, each in problems.items():
        for line in checking.grouped(each):
            CONSOLE.print(f"{title}: {line}", markup=False, soft_wrap=True)
    if options["json"]:
        _save_json(options["json"], found, labels.names if labels else (), problems)
    wrong = sum(map(len, problems.values()))
    CONSOLE.print(f"{wrong} problems" if wrong else "no problems")
    return int(bool(wrong))


def show(data: DataConfig, modalities: Sequence[str], options: dict) -> int:
    dataset = open_dataset(data, options["split"], modalities)
    random = np.random.default_rng(options["seed"])
    chosen = sorted(random.choice(len(dataset), min(options["frames"], len(dataset)), replace=False).tolist())
    if options["augmented"]:
        views = Views(Samples(dataset, modalities, data.size), training_transform(data, modalities), options["seed"])
        frames = [from_sample(views[0, index]) for index in chosen]
    else:
        frames = [dataset[index] for index in chosen]
    sheet = contact_sheet(frames, modalities, dataset.labels)
    write_atomically(options["output"], lambda file: sheet.save(file, "PNG"))
    CONSOLE.print(f"{options['output']}: frames {', '.join(map(str, chosen))}", soft_wrap=True)
    return 0


def prepare_images(data: DataConfig, modalities: Sequence[str], options: dict) -> int:
    opened = _opened(data, modalities)
    with _bar(sum(map(len, opened.values()))) as advance:
        path = prepare(opened, options["output"], advance)
    CONSOLE.print(f"train with data.dataset=custom data.root={path}", soft_wrap=True)
    return 0


def pack_images(data: DataConfig, modalities: Sequence[str], options: dict) -> int:
    opened, output = _opened(data, modalities), options["output"]
    with _bar(sum(map(len, opened.values()))) as advance:
        quality = pack(opened, output, data.size or (240, 320), modalities, round(options["max_mib"] * MIB), advance)
    size = output.stat().st_size / MIB
    CONSOLE.print(f"{output}: {size:.1f} MiB, JPEG quality {quality}; train with data.dataset=packed", soft_wrap=True)
    return 0


def _opened(data: DataConfig, modalities: Sequence[str]) -> dict[Split, Dataset]:
    """Every split that is one of its own: where validation and test are the same frames, only one of them."""
    opened: dict[Split, Dataset] = {}
    for split in SPLITS:
        try:
            dataset = open_dataset(data, split, modalities)
        except ValueError:
            if split == "train":
                raise
            continue  # not every dataset has all three
        same = [other for other in opened.values() if len(other) == len(dataset)]
        if not any(other.describe(0) == dataset.describe(0) for other in same):
            opened[split] = dataset
    return opened


def _print_counts(found: dict[Split, checking.Found]) -> None:
    table = Table("split", "frames", "sizes", "depth 1 / 50 / 99 % (m)", "holes")
    for split, each in found.items():
        depth = checking.depth_statistics(each)
        sizes = ", ".join(f"{size} ({count})" for size, count in each.sizes.most_common(4))
        shown = " / ".join(f"{depth[key]:.2f}" for key in ("1 %", "50 %", "99 %") if key in depth) if depth else "-"
        table.add_row(split, str(each.frames), sizes, shown, f"{depth['holes']:.1%}" if depth else "-")
    CONSOLE.print(table)


def _print_classes(found: dict[Split, checking.Found], names: Sequence[str]) -> None:
    table = Table("id", "class", *(f"{split} (% of pixels)" for split in found))
    totals = {split: max(1, int(each.pixels.sum())) for split, each in found.items()}
    for index, name in [*enumerate(names), (VOID, "void")]:
        shares = [100 * each.pixels[index] / totals[split] for split, each in found.items()]
        table.add_row(str(index), name, *(f"{share:5.2f} {'█' * round(share / 2)}" for share in shares))
    CONSOLE.print(table)


def _save_json(path: Path, found: dict, names: Sequence[str], problems: dict[str, list[str]]) -> None:
    splits = {
        split: {
            "frames": each.frames,
            "sizes": dict(each.sizes),
            "pixels": {name: int(each.pixels[i]) for i, name in [*enumerate(names), (VOID, "void")]},
            "depth": checking.depth_statistics(each),
        }
        for split, each in found.items()
    }
    text = json.dumps({"splits": splits, "problems": problems}, indent=1)
    write_atomically(path, lambda file: file.write_text(text, encoding="utf-8"))


@contextmanager
def _bar(total: int) -> Iterator:
    columns = TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=CONSOLE, transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


def _parser(command: str) -> ArgumentParser:
    parser = ArgumentParser(prog=f"python -m cen_model.data {command}", description=__doc__)
    parser.add_argument("--config", type=Path | None, default=None, help="a training configuration")
    parser.add_class_arguments(DataConfig)
    parser.add_argument("--modalities", type=tuple[str, ...], default=("rgb", "depth"), help="to read or derive")
    if command == "check":
        parser.add_argument("--json", type=Path | None, default=None, help="file to write the figures into")
    else:
        parser.add_argument("--output", type=Path, required=True, help="file or folder to write")
    if command == "show":
        parser.add_argument("--split", type=Split, default="train")
        parser.add_argument("--frames", type=int, default=6, help="how many")
        parser.add_argument("--seed", type=int, default=0, help="which ones")
        parser.add_argument("--augmented", type=bool, default=False, help="as training sees them")
    if command == "pack":
        parser.add_argument("--max_mib", type=float, default=56.0, help="greatest size of the file")
    return parser


def _data(parser: ArgumentParser, arguments: Sequence[str]) -> tuple[DataConfig, dict]:
    """The data section of a configuration, with what the command line says otherwise."""
    first = parser.parse_args(list(arguments))
    if first.config:
        stored = (yaml.safe_load(first.config.read_text(encoding="utf-8")) or {}).get("data", {})
        parser.set_defaults(stored)
        first = parser.parse_args(list(arguments))
    values = vars(parser.instantiate(first))
    keys = DataConfig.__dataclass_fields__
    return DataConfig(**{key: values[key] for key in keys}), values


COMMANDS = {"check": check, "show": show, "prepare": prepare_images, "pack": pack_images}


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in COMMANDS:
        print(__doc__, file=sys.stderr)
        return 2
    command, *rest = arguments
    try:
        data, options = _data(_parser(command), rest)
        return COMMANDS[command](data, options["modalities"], options)
    except (ValueError, OSError) as error:
        CONSOLE.print(f"data: {error}", markup=False, soft_wrap=True)
        return 2


if __name__ == "__main__":
    sys.exit(main())
