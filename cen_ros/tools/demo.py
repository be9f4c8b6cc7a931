# SPDX-License-Identifier: Apache-2.0
"""The whole path in one command: a synthetic camera, the segmentation node and a scorer, as three ROS 2 processes.

python -m cen_ros.tools.demo
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cen_model.utils.files import find_weights
from cen_model.utils.validation import POSITIVE
from cen_ros.tools.camera_frames import DEPTH_TOPIC, RGB_TOPIC, render_with_progress
from cen_ros.tools.child_processes import children, fast_dds_profile, first_to_end, private_environment

MIN_MIOU = 0.6
MAX_MISSING = 0.05
"""Share of the frames that may stay without labels."""
START_SECONDS = 60
"""What the three processes are given to load and to find each other."""


class DemoError(Exception):
    """The demo could not run to its end; the text is for the user."""


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m cen_ros.tools.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rate", type=float, default=10.0, help="frames per second")
    parser.add_argument("--seed", type=int, default=3_000_000, help="of the first room; far from those of training")
    parser.add_argument("--rooms", type=int, default=6, help="that the camera visits, with seeds from --seed on")
    parser.add_argument("--size", type=int, nargs=2, default=(240, 320), metavar=("H", "W"), help="of the images")
    parser.add_argument("--weights", default="synthetic13-cen", help="a checkpoint, or the name of shipped weights")
    parser.add_argument("--backend", default="auto", help="what runs the network, as the node's parameter of that name")
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder for pictures, results and logs")
    args = parser.parse_args(argv)
    if not POSITIVE.holds(args.rate):
        parser.error(f"--rate: expected frames per second above 0, got {args.rate:g}")
    return args


def tour(args: argparse.Namespace) -> dict:
    """What the camera films: the arguments of `render_tour`, and parameters of the camera node."""
    return {name: getattr(args, name) for name in ("seed", "frames", "rate", "size", "rooms")}


def commands(args: argparse.Namespace) -> dict[str, list[str]]:
    """Module and arguments of each process."""
    camera = _parameters(**tour(args), loop=False, subscribers=2)  # the node and the scorer
    remap = ["-r", f"rgb/image:={RGB_TOPIC}", "-r", f"depth/image:={DEPTH_TOPIC}"]
    network = _parameters(weights=args.weights, backend=args.backend, image_size=args.size)
    return {
        "segmentation": ["cen_ros.node", "--ros-args", *network, *remap],
        "scorer": ["cen_ros.tools.score", "--ros-args", *_parameters(frames=args.frames, output=str(args.output))],
        "camera": ["cen_ros.tools.synthetic_camera", "--ros-args", *camera],
    }


def _parameters(**values) -> list[str]:
    """ROS arguments; JSON is YAML, so that a string stays a string and a list a list."""
    return [word for name, value in values.items() for word in ("-p", f"{name}:={json.dumps(value)}")]


def build_engine(args: argparse.Namespace) -> None:
    """Let the node find its engine built. In a process of its own: this one does without PyTorch."""
    if args.backend == "none":
        return
    size = "x".join(map(str, args.size))
    command = ["cen_model.deploy", str(args.weights), "--backend", args.backend, "--size", size, "--build-only"]
    if subprocess.run([sys.executable, "-m", *command], check=False).returncode:
        raise DemoError(f"no engine could be built: python -m {' '.join(command)}")


async def run(args: argparse.Namespace) -> dict:
    """Run the three processes to the scorer's end and return its result. Raises DemoError if one of them dies."""
    limit = START_SECONDS + args.frames / args.rate
    result = args.output / "score.json"
    result.unlink(missing_ok=True)  # of an earlier run: a scorer that is stopped leaves none
    async with children(commands(args), private_environment(fast_dds_profile()), args.output / "logs") as started:
        for name, child in started.items():
            print(f"{name}: pid {child.process.pid}, log {child.log}", flush=True)
        print(
            f"{args.frames} frames at {args.rate:g} Hz: about {args.frames / args.rate:.0f} s from the first on",
            flush=True,
        )
        ended = await first_to_end(started, limit)
        if ended is None:
            tails = "\n".join(f"--- {child.log}\n{child.tail()}" for child in started.values())
            raise DemoError(f"no result after {limit:.0f} s\n{tails}")
        code = ended.process.returncode
        if ended.name != "scorer" or code != 0:
            raise DemoError(f"the {ended.name} process ended with exit code {code}; its log ends\n{ended.tail()}")
    if not result.exists():
        raise DemoError("the scorer was stopped before it had a result")
    return json.loads(result.read_text())


def report(result: dict, frames: int, console: Console) -> None:
    """Print the table of classes and the counts."""
    table = Table("class", "IoU")
    table.columns[1].justify = "right"
    for name, iou in result["iou"].items():
        table.add_row(name, "-" if iou is None else f"{iou:.3f}")
    console.print(table)
    absent = [name for name, iou in result["iou"].items() if iou is None]
    if absent:
        console.print(f"not in the mean, neither in truth nor labels: {', '.join(absent)}")
    console.print(
        f"frames: {result['sent']} sent, {result['received']} received, {result['labeled']} labeled, "
        f"{frames - result['labeled']} dropped"
    )
    if result["strays"]:
        console.print(f"{result['strays']} label images have a stamp that no camera image has")


def verdict(result: dict, frames: int) -> list[str]:
    """What is wrong with a result, in words; empty if nothing is."""
    wrong = []
    if result["labeled"] < (1 - MAX_MISSING) * frames:
        wrong.append(f"{frames - result['labeled']} of {frames} frames have no labels")
    if result["strays"]:
        wrong.append("label images carry wrong stamps")
    if result["miou"] is None or result["miou"] < MIN_MIOU:
        wrong.append(f"mIoU is under {MIN_MIOU}")
    return wrong


def last_line(result: dict, frames: int) -> str:
    """The result in one line; nan where there is none."""
    number = {key: float("nan") if value is None else value for key, value in result["latency_ms"].items()}
    miou = float("nan") if result["miou"] is None else result["miou"]
    return (
        f"demo: mIoU {miou:.3f}  labels {result['labeled']}/{frames}  "
        f"latency {number['median']:.0f} ms median {number['p95']:.0f} ms p95"
    )


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 if all is well, 1 if labels are missing or bad or a process died, 130 if interrupted."""
    args = arguments(argv)
    # All end like Ctrl-C: the children are stopped first. SIGINT too is set, for a shell's background job ignores it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        find_weights(args.weights)  # before anything is rendered for nothing
        render_with_progress(**tour(args))  # into the cache, from which the camera takes it
        build_engine(args)
        result = asyncio.run(run(args))
    except (DemoError, FileNotFoundError, ValueError) as error:
        print(f"demo failed: {error}")  # as it is: rich would break paths and log lines
        return 1
    except KeyboardInterrupt:
        print("interrupted")
        return 130
    console = Console()
    report(result, args.frames, console)
    wrong = verdict(result, args.frames)
    for line in wrong:
        console.print(line)
    print(last_line(result, args.frames))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
