# SPDX-License-Identifier: Apache-2.0
"""`cen analyze RUN [RUN ...] --output FOLDER`: draw the paper's figures of trained runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from cen_model.analysis import run_figures
from cen_model.cli.arguments import as_parsed

EXAMPLE = "example: cen analyze runs/mine --output figures"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="cen analyze",
        description=run_figures.__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--output", type=Path, required=True, help="folder to write into")
    parser.add_argument("--root", type=Path, help="the data, where it is elsewhere now")
    parser.add_argument("--layer", help="the exchanging norm that is shown alone (the 8th)")
    parser.add_argument("--frame", type=int, default=0, help="the test frame whose feature maps are shown (0)")
    parser.add_argument("--batches", type=int, default=8, help="that Theorem 1's gradients are averaged over (8)")
    run_figures.analyze(**vars(parser.parse_args(as_parsed(arguments, parser))))
