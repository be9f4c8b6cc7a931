# SPDX-License-Identifier: Apache-2.0
"""Measure a network on a dataset: `python -m cen_model.evaluate WEIGHTS [--dataset nyudv2 --root FOLDER]`.

Without a dataset it is measured on held-out synthetic scenes. With `--output FOLDER`, results.json (described in
cen_model/evaluation/results.py), report.html and a contact sheet of the frames that it shows, examples.jpg, are written
there. Frames may be shared between processes: `torchrun --nproc-per-node 2 -m cen_model.evaluate …` gives the same
figures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from cen_model.evaluation import results, score_tables
from cen_model.evaluation.dataset_evaluation import Evaluation, evaluate
from cen_model.evaluation.examples import PANEL
from cen_model.evaluation.options import Options, parse
from cen_model.predictor import NONE
from cen_model.reporting.contact_sheet import contact_sheet
from cen_model.utils.files import write_atomically, write_json_atomically
from cen_model.utils.process_settings import keep_freed_memory
from cen_model.utils.provenance import command
from cen_model.utils.ranks import Ranks, joined


def run(options: Options, arguments: Sequence[str], ranks: Ranks, console: Console) -> None:
    """Measure, print, and write what is to be written; in the first process."""
    first = ranks.rank == 0
    bar = Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console, transient=True)
    bar.disable = not (first and console.is_terminal)
    with bar:

        def start(frames: int) -> Callable[[int], None]:
            task = bar.add_task("", total=frames)
            return lambda _: bar.advance(task)

        done = evaluate(options, command("cen_model.evaluate", arguments), ranks, start)
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


def main(argv: Sequence[str] | None = None) -> None:
    arguments = sys.argv[1:] if argv is None else argv
    try:
        options = parse(arguments)
        if options.backend != NONE:  # measured as the node runs it
            keep_freed_memory()
        with joined() as ranks:
            run(options, arguments, ranks, Console(highlight=False))
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"evaluate: {error}")


if __name__ == "__main__":
    main()
