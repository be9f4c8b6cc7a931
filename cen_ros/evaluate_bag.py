# SPDX-License-Identifier: Apache-2.0
"""Labels recorded bags and measures how good, how steady and how fast that is; needs no ROS.

python -m cen_ros.evaluate_bag BAG --weights WEIGHTS

Color, depth, truth, camera_info and /tf are found by themselves. Results are OUTPUT/report.json, described in
cen_ros/evaluation/bag_results.py, and OUTPUT/report.html; of several bags each has a folder of its own there, and the
two files are their total. Bags may be shared between processes:
torchrun --nproc-per-node 2 -m cen_ros.evaluate_bag …
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.progress import Progress

from cen_model.deploy.memory_shortage import shortage
from cen_model.predictor import Deployment, Predictor
from cen_model.utils.files import write_json_atomically
from cen_model.utils.process_settings import keep_freed_memory
from cen_model.utils.provenance import command, versions
from cen_model.utils.ranks import Ranks, joined
from cen_ros.evaluation import bag_results, report_text
from cen_ros.evaluation.bag_evaluation import NO_TRUTH, EvaluationConfig, evaluate
from cen_ros.evaluation.bag_page import save_html
from cen_ros.evaluation.bag_search import find_bags
from cen_ros.evaluation.source import PairingConfig
from cen_ros.evaluation.truth_folder import TruthFolder

PACKAGES = ("cen_ros", "torch", "numpy", "rosbags")
"""Whose versions a report names."""


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m cen_ros.evaluate_bag", description=__doc__.splitlines()[0])
    parser.add_argument("bags", nargs="+", type=Path, metavar="BAG", help="a bag, or a folder to look for bags in")
    parser.add_argument("--weights", required=True, help="a checkpoint, or the name of shipped weights")
    parser.add_argument("--output", type=Path, default=Path("evaluation"), help="folder of the results")
    parser.add_argument("--rgb-topic")
    parser.add_argument("--depth-topic", help="registered to color")
    parser.add_argument(
        "--truth",
        help="topic of label images, or a folder of PNG files of class ids, 255 = unlabeled, named by stamp: "
        "seconds.nanoseconds or nanoseconds; none: ignore a topic that would be found",
    )
    parser.add_argument(
        *("--label-groups", "--label_groups"), metavar="FILE", help="label groups of classes: a file, or nyu13, …"
    )
    parser.add_argument(
        "--truth-of",
        default="classes",
        choices=("classes", "groups"),
        help="what truth numbers, with --label-groups: the weights' classes, which are then grouped as the labels are, "
        "or the groups",
    )
    parser.add_argument("--slop", type=float, default=0.05, metavar="S", help="largest difference of paired stamps")
    parser.add_argument("--stamp-offset", type=float, default=0.0, metavar="S", help="added to depth's stamps first")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="label one pair of N")
    parser.add_argument("--backend", default="none", help="what runs the network; none: as it was trained; auto: best")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, …; else a GPU where there is one")
    parser.add_argument("--branch", default="ensemble", choices=("ensemble", "rgb", "depth"))
    parser.add_argument(
        "--write-bag", action="store_true", help="also copy each bag to OUTPUT/labeled, with label, color, confidence"
    )
    args = parser.parse_args(argv)
    if args.every < 1 or not 0 <= args.slop < 3600:
        parser.error(f"expected --every of at least 1 and --slop in seconds, got {args.every} and {args.slop}")
    if not abs(args.stamp_offset) <= 1e10:  # also NaN
        parser.error(f"expected --stamp-offset in seconds, at most 1e10, got {args.stamp_offset}")
    args.command = command("python -m cen_ros.evaluate_bag", argv)
    return args


class Command:
    """Evaluates bags one by one, each written as soon as it is done.

    Raises:
        ValueError: the weights are not for this, or the backend cannot be used.
        FileNotFoundError: there are no such weights.
    """

    def __init__(self, args: argparse.Namespace, ranks: Ranks) -> None:
        deployment = Deployment(args.backend, branch=args.branch, confidence=args.write_bag)
        self._args = args
        self._console = Console(highlight=False, markup=False, soft_wrap=True)
        device = args.device or ranks.device()
        self._predictor = Predictor.load(args.weights, None, device, deployment, args.label_groups)
        truth = args.truth
        if truth not in (None, NO_TRUTH) and Path(truth).is_dir():
            truth = TruthFolder(Path(truth))
        pairing = PairingConfig(round(args.slop * 1e9), round(args.stamp_offset * 1e9), args.every)
        truth_groups = self._predictor.groups if args.truth_of == "classes" else None
        self._config = EvaluationConfig(pairing, args.rgb_topic, args.depth_topic, truth, truth_groups)

    def evaluate(self, bag: Path, folder: Path) -> dict[str, Any]:
        """Evaluate one bag into `folder`. The report has `error` set where that was not possible."""
        labeled = folder / "labeled" if self._args.write_bag else None
        with Progress(console=self._console, transient=True, disable=not self._console.is_terminal) as bars:
            bar = bars.add_task(bag.name, total=None)

            def start(streams: Any, frames: int) -> None:
                bars.update(bar, total=frames // self._args.every)
                self._say(f"{bag}: {streams.why}")

            try:
                done = evaluate(bag, self._predictor, self._config, labeled, start, lambda: bars.advance(bar))
                report, gallery = done.report, done.gallery
            except (ValueError, OSError, RuntimeError, MemoryError) as error:
                report, gallery = {"bag": str(bag), "error": shortage(error) or str(error)}, None
        report["run"] = self._run()
        write_json_atomically(folder / "report.json", report)
        if report["error"] is None:
            save_html(folder / "report.html", report, gallery)
        else:
            (folder / "report.html").unlink(missing_ok=True)  # of an earlier run
        self._tell(str(bag), report)
        return report

    def total(self, reports: list[dict[str, Any]], seconds: float) -> None:
        """Write and print what several bags are together."""
        total = bag_results.total(reports, seconds)
        write_json_atomically(self._args.output / "report.json", total)
        save_html(self._args.output / "report.html", total)
        done = sum(each["error"] is None for each in reports)
        self._tell(f"{done} of {len(reports)} bags", total)

    def _tell(self, title: str, report: dict[str, Any]) -> None:
        self._say("\n  ".join([title, *report_text.lines(report)]))  # at once: other processes may write too
        if table := report_text.classes(report):
            self._console.print(table)

    def _run(self) -> dict[str, Any]:
        target = self._predictor.target or f"the network as it was trained, on {self._predictor.device}"
        return {
            "command": self._args.command,
            "versions": versions(PACKAGES),
            "weights": str(self._args.weights),
            "label_groups": self._args.label_groups,
            "classes": list(self._predictor.classes),
            "runs_on": str(target),
        }

    def _say(self, line: str) -> None:
        self._console.print(line)


def run(args: argparse.Namespace, ranks: Ranks) -> int:
    """Evaluate this process's share of the bags; the exit code is 1 where nothing in any of them could be evaluated."""
    bags = find_bags(args.bags, leave_out=args.output)
    command = Command(args, ranks)
    began = perf_counter()
    folders = {name: args.output / name if len(bags) > 1 else args.output for name in bags}
    reports = []
    for place in ranks.part(len(bags)):
        name = list(bags)[place]
        report = command.evaluate(bags[name], folders[name])
        reports.append((place, {**report, "report": name}))
    prepared = sum(report["timing"]["preparation_s"] for _, report in reports if "timing" in report)
    reports = ranks.gather(reports)
    if len(bags) > 1 and ranks.rank == 0:
        command.total(reports, perf_counter() - began - prepared)
    if ranks.rank == 0:
        print(f"results: {args.output / 'report.json'}", flush=True)
    return 0 if any(report["error"] is None for report in reports) else 1


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 with bag_results, 1 with nothing evaluated, 130 if interrupted."""
    args = arguments(argv)
    keep_freed_memory()
    try:
        with joined() as ranks:
            return run(args, ranks)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        print(f"evaluate_bag: {shortage(error) or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
