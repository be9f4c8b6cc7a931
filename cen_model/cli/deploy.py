# SPDX-License-Identifier: Apache-2.0
"""`cen deploy`: build the engine of a checkpoint ahead of time, and see what it is worth.

cen deploy CHECKPOINT [--backend auto] [--size 480x640 …] [--precision fp16] [--build-only]
cen deploy cache list|clear
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from cen_model import checkpoint
from cen_model.cli.arguments import as_parsed, height_width
from cen_model.deploy import rewriting_report
from cen_model.deploy.backends.selection import AUTO, BACKENDS
from cen_model.deploy.build import LOGGER, REFUSED
from cen_model.deploy.cache import EngineCache
from cen_model.deploy.frame import Frame, FrameConfig
from cen_model.deploy.graph import export, layer_flops
from cen_model.deploy.memory_shortage import shortage
from cen_model.deploy.precision import DTYPES
from cen_model.deploy.sample import sample_images
from cen_model.deploy.simplify import simplify
from cen_model.predictor import Deployment, Predictor
from cen_model.utils.process_settings import keep_freed_memory

EXAMPLE = "example: cen deploy my.safetensors --size 480x640 720x1280 --build-only"
_FRAMES = 20


def deploy(args: argparse.Namespace) -> None:
    """Build an engine for each size, and unless told otherwise show what rewriting saved and how fast it is."""
    deployment = Deployment(args.backend, args.precision, args.branch, args.confidence, args.output)
    predictor = Predictor.load(args.checkpoint, args.input_size, args.device, deployment, args.label_groups)
    for size in args.size:
        predictor.prepare(size)
        print(f"{size[0]}×{size[1]}: {predictor.target}")
    if not args.build_only:
        for size in args.size:
            _show(args, predictor, size)


def _show(args: argparse.Namespace, predictor: Predictor, size: tuple[int, int]) -> None:
    model = checkpoint.load(args.checkpoint)
    groups = predictor.groups.ids if predictor.groups else ()
    frame = Frame(model, FrameConfig.of(model.config, size, args.input_size, args.branch, args.confidence, groups))
    graph_module = export(frame, frame.example())
    before = layer_flops(graph_module)
    passes = BACKENDS[predictor.target.backend].passes[predictor.device.type]
    steps = simplify(graph_module, frame.example(), [name for name in passes if name != "winograd"])
    after = layer_flops(graph_module)  # Winograd's filtering computes in another way what is left of the layers
    steps += simplify(graph_module, frame.example(), [name for name in passes if name == "winograd"])
    print(f"\n{rewriting_report.pruning(model, before, after)}\n\n{rewriting_report.passes(steps)}")
    seconds = _time(predictor, size)
    print(f"\n{size[0]}×{size[1]}, bytes in, labels out: {1000 * seconds:.1f} ms median of {_FRAMES} frames")


def _time(predictor: Predictor, size: tuple[int, int]) -> float:
    rgb, depth = sample_images(size)
    times = []
    for _ in range(_FRAMES):
        start = time.perf_counter()
        predictor.predict(rgb, depth)
        times.append(time.perf_counter() - start)
    return median(times)


def manage_cache(args: argparse.Namespace) -> None:
    """List or remove the engines that were built."""
    cache = EngineCache(args.output)
    if args.action == "clear":
        print(f"{cache.clear() / 1e6:.1f} MB freed")
        return
    for entry in cache.entries():
        built = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.created))
        what = " ".join(entry.parts.get(key, "?") for key in ("backend", "precision", "frame", "device"))
        state = "  REFUSED" if (entry.folder / REFUSED).is_file() else ""
        print(f"{entry.key}  {built}  {entry.bytes / 1e6:8.1f} MB  {what}{state if entry.valid else '  DAMAGED'}")


def main(arguments: Sequence[str]) -> None:
    run, parser = deploy, _parser()
    if arguments and arguments[0] == "cache":
        run, parser, arguments = manage_cache, _cache_parser(), arguments[1:]
    args = parser.parse_args(as_parsed(arguments, parser))
    logging.basicConfig(format="%(message)s")
    LOGGER.setLevel(logging.INFO)
    keep_freed_memory()
    try:
        run(args)
    except RuntimeError as error:  # of a backend
        sys.exit(f"cen deploy: {shortage(error) or error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cen deploy", description=deploy.__doc__, epilog=EXAMPLE)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a file, or the name of shipped weights")
    parser.add_argument("--backend", default=AUTO, choices=(AUTO, *BACKENDS), help="auto: the best that is installed")
    parser.add_argument("--precision", default=AUTO, choices=(AUTO, *DTYPES), help="auto: fp16 on a GPU, fp32 on a CPU")
    parser.add_argument("--device", help="cpu, cuda, cuda:1; without it a GPU where there is one")
    parser.add_argument(
        "--size", type=height_width, nargs="+", default=[(480, 640)], metavar="HxW", help="of the images"
    )
    parser.add_argument(
        "--input-size",
        type=height_width,
        metavar="HxW",
        help="that they are resized to; without it, as the weights say",
    )
    parser.add_argument("--branch", default="ensemble", help="ensemble, or rgb or depth to run that decoder alone")
    parser.add_argument("--confidence", action="store_true", help="with the probability of each label")
    parser.add_argument(
        "--label-groups", metavar="FILE", help="label groups of classes: a file, or nyu13, obstacles, …"
    )
    parser.add_argument("--build-only", action="store_true", help="do not measure: for a robot's set-up")
    _add_output(parser)
    return parser


def _cache_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cen deploy cache", description=manage_cache.__doc__)
    parser.add_argument("action", choices=("list", "clear"))
    _add_output(parser)
    return parser


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="of the engines, instead of the user's cache")
