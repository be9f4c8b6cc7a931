# SPDX-License-Identifier: Apache-2.0
"""`cen import IN OUT`: turn a published checkpoint into one of ours."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from cen_model.checkpoint import import_published
from cen_model.cli.arguments import as_parsed

EXAMPLES = """\
examples:
  cen import IN.pth.tar OUT.safetensors                                           # segmentation
  cen import IN.pkl OUT.safetensors --modalities shade texture --target rgb       # translation"""


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="cen import",
        description="Turn a published checkpoint into one of ours.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="IN", help="the downloaded .pth.tar or .pkl")
    parser.add_argument("destination", type=Path, metavar="OUT", help="the .safetensors file to write")
    parser.add_argument("--classes", nargs="+", default=(), help="segmentation: names of the classes")
    parser.add_argument("--modalities", nargs="+", default=(), help="translation: names of the inputs, as trained")
    parser.add_argument("--target", default="rgb", help="translation: name of the output (rgb)")
    import_published(**vars(parser.parse_args(as_parsed(arguments, parser))))
