# SPDX-License-Identifier: Apache-2.0
"""`cen evaluate WEIGHTS [--dataset nyudv2 --root FOLDER]`: measure a network on a dataset.

Without a dataset it is measured on held-out synthetic scenes. With `--output FOLDER`, results.json (described in
cen_model/evaluation/results.py), report.html and a contact sheet of the frames that it shows, examples.jpg, are written
there. Frames may be shared between processes: `torchrun --nproc-per-node 2 -m cen_model.evaluate …` gives the same
figures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, set_parsing_settings
from jsonargparse.typing import PositiveInt
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from cen_model.cli.arguments import as_parsed
from cen_model.data.data_config import DataConfig, Split
from cen_model.deploy.backends.selection import AUTO
from cen_model.deploy.memory_shortage import shortage
from cen_model.evaluation import results, score_tables
from cen_model.evaluation.dataset_evaluation import Evaluation, evaluate
from cen_model.evaluation.examples import PANEL
from cen_model.evaluation.image_distances import TranslationOptions
from cen_model.evaluation.inference_modes import InferenceConfig
from cen_model.evaluation.options import Options
from cen_model.predictor import NONE
from cen_model.reporting.contact_sheet import contact_sheet
from cen_model.utils.files import expand_home, write_atomically, write_json_atomically
from cen_model.utils.process_settings import keep_freed_memory
from cen_model.utils.provenance import command
from cen_model.utils.ranks import Ranks, joined

DESCRIPTION = "Measure a network on a dataset; without a dataset, on held-out synthetic scenes."
EXAMPLE = "example: cen evaluate my.safetensors --dataset nyudv2 --root FOLDER --output report"

# What training alone makes use of; the size is the inference's.
_GEOMETRY = {"crop", "scale", "scale_depth", "rotation", "mirror"}
_AUGMENTATION = {*_GEOMETRY, "jitter", "cutout", "depth_faults", "modality_dropout"}
SKIPPED = {*_AUGMENTATION, "include_validation", "with_synthetic", "on_device", "size"}


def run(options: Options, arguments: Sequence[str], ranks: Ranks, console: Console) -> None:
    """Measure, print, and write what is to be written; in the first process."""
    first = ranks.rank == 0
    bar = Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console, transient=True)
    bar.disable = not (first and console.is_terminal)
    with bar:

        def start(frames: int) -> Callable[[int], None]:
            task = bar.add_task("", total=frames)
            return lambda _: bar.advance(task)

        done = evaluate(options, command("cen evaluate", arguments), ranks, start)
    if first:
        for each in score_tables.printed(done.results):
            console.print(each)
        if options.output:
            _write(options, done)
            console.print(f"results: {options.output / 'report.html'}", soft_wrap=True)


def _write(options: Options, done: Evaluation) -> None:
    from cen_model.evaluation.evaluation_page import save_html  # Jinja is needed for reports alone

    write_json_atomically(options.output / results.RESULTS, done.results)
    save_html(options.output / "report.html", done.results, done.dataset.labels, done.examples)
    shown = [images for frames in done.examples.values() for images in frames.values()]
    if shown:
        sheet = contact_sheet(shown, width=PANEL)
        write_atomically(options.output / "examples.jpg", lambda path: sheet.save(path, "JPEG", quality=90))


def parse(arguments: Sequence[str]) -> Options:
    """Read a command line, in the dialect of `cen_model.cli.arguments`.

    Raises:
        ValueError: a value makes no sense; it is named. Unknown options and other types end the program with a message.
    """
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(prog="cen evaluate", description=DESCRIPTION, epilog=EXAMPLE)
    parser.add_argument("weights", type=str, help="a checkpoint file or the name of shipped weights")
    parser.add_class_arguments(DataConfig, skip=SKIPPED)
    parser.add_argument("--split", type=Split, default="test", help="of the dataset")
    parser.add_class_arguments(InferenceConfig)
    parser.add_argument("--drop", type=tuple[str, ...], default=(), help="modalities that are missing, such as depth")
    parser.add_argument("--holes", type=Path | None, default=None, help="folder of depth PNGs whose holes frames get")
    parser.add_argument(
        "--center_crop",
        type=tuple[PositiveInt, PositiveInt] | None,
        default=None,
        help="height and width of all that is in view, such as 360x640, against the whole frame in view",
    )
    parser.add_argument("--frames", type=PositiveInt | None, default=None, help="only the first so many")
    parser.add_argument(
        "--backend",
        type=str,
        default=NONE,
        help="measure an engine: inductor, openvino, tensorrt, …, or auto",
    )
    parser.add_argument("--precision", type=str, default=AUTO, help="of the engine: fp32, fp16, bf16")
    parser.add_argument(
        "--label_groups", type=str | None, default=None, help="score groups of classes: a file, or nyu13, obstacles, …"
    )
    parser.add_class_arguments(TranslationOptions)
    parser.add_argument("--fid", type=bool, default=True, help="translation: whether FID and KID are measured")
    parser.add_argument("--inception", type=Path | None, default=None, help="translation: file of Inception's weights")
    parser.add_argument("--output", type=Path | None, default=None, help="folder of results.json and of the report")
    values = vars(parser.instantiate(parser.parse_args(as_parsed(arguments, parser))))
    inference = InferenceConfig(**_of(InferenceConfig, values))
    data = DataConfig(**{key: value for key, value in _of(DataConfig, values).items() if key not in SKIPPED})
    translation = TranslationOptions(**_of(TranslationOptions, values))
    others = _of(Options, values)
    return expand_home(Options(data=data, inference=inference, translation=translation, **others))


def _of(cls: type, values: dict[str, Any]) -> dict[str, Any]:
    return {field.name: values[field.name] for field in fields(cls) if field.name in values}


def main(arguments: Sequence[str]) -> None:
    try:
        options = parse(arguments)
        if options.backend != NONE:  # measured as the node runs it
            keep_freed_memory()
        with joined() as ranks:
            run(options, arguments, ranks, Console(highlight=False, markup=False))
    except RuntimeError as error:  # of a backend, or of processes that cannot meet
        sys.exit(f"cen evaluate: {shortage(error) or error}")
