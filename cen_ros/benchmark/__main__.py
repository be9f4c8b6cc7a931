# SPDX-License-Identifier: Apache-2.0
"""What the node takes beside the network, measured over DDS with a network that does nothing.

python -m cen_ros.benchmark --output docs/overhead
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from queue import Empty
from tempfile import TemporaryDirectory

from cen_model.utils.files import write_json_atomically, write_text_atomically
from cen_ros.benchmark.overhead import EARLY, RATE, markdown, measure_overhead
from cen_ros.tools.child_processes import children, fast_dds_profile, private_environment


async def run(args: argparse.Namespace) -> dict:
    """Start the node, measure it, and end it."""
    environment = private_environment(fast_dds_profile())
    os.environ.update(environment)  # rmw reads this process's when it starts
    with TemporaryDirectory() as logs:
        async with children({"node": ["cen_ros.benchmark.identity_network"]}, environment, Path(logs)) as started:
            try:
                process = started["node"].process.pid
                return await asyncio.to_thread(
                    measure_overhead, process, tuple(args.size), args.frames, args.seconds, args.long
                )
            except (TimeoutError, Empty) as error:
                why = str(error) or "no diagnostics came"
                raise RuntimeError(f"{why}; the node's log ends\n{started['node'].tail()}") from error


def main(argv: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m cen_ros.benchmark", description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=(480, 640), metavar=("H", "W"), help="of the images")
    parser.add_argument("--frames", type=int, default=1000, help="one after the other, for the latency")
    parser.add_argument("--seconds", type=float, default=60.0, help=f"at {RATE:g} Hz")
    parser.add_argument("--long", type=int, default=20_000, help="frames until memory is looked at again")
    parser.add_argument("--output", type=Path, help="write FILE.json and FILE.md", metavar="FILE")
    args = parser.parse_args(argv)
    if args.long <= EARLY:
        parser.error(f"--long: expected more than {EARLY} frames, got {args.long}")
    try:
        result = asyncio.run(run(args))
    except (RuntimeError, FileNotFoundError) as error:
        sys.exit(f"benchmark: {error}")
    text = markdown(result)
    if args.output:
        write_json_atomically(args.output.with_suffix(".json"), result)
        write_text_atomically(args.output.with_suffix(".md"), text)
    print(text)


if __name__ == "__main__":
    main()
