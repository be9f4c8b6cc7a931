# SPDX-License-Identifier: Apache-2.0
"""What the node takes beside the network, measured over DDS with a network that does nothing.

python -m cen_ros.benchmark --output docs/overhead
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from rich.progress import Progress
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from cen_model.files import write_atomically
from cen_ros.diagnostics import subscribe
from cen_ros.images import array_to_image
from cen_ros.processes import children, fast_dds_profile, private_environment

RATE = 30.0
PATIENCE = 5.0
"""Seconds after which a label counts as lost."""
WARM = 100
"""Frames that are not counted."""
EARLY = 1000
"""Frames after which memory is looked at for the first time."""
NODE = ("pair", "wait", "convert", "publish")
"""The node's own share of a label's age, by the names in its diagnostics."""


class Camera:
    """Sends pairs of images of one size, and takes the labels."""

    def __init__(self, node: rclpy.node.Node, size: tuple[int, int]):
        random = np.random.default_rng(0)
        self._node = node
        self._rgb = random.integers(0, 256, (*size, 3), np.uint8)
        self._depth = random.integers(500, 5000, size, np.uint16)
        self._publishers = [
            node.create_publisher(Image, topic, qos_profile_sensor_data) for topic in ("rgb/image", "depth/image")
        ]
        self._labels: SimpleQueue[tuple[int, int]] = SimpleQueue()
        self.reports: SimpleQueue[dict] = SimpleQueue()
        node.create_subscription(Image, "cen_segmentation/label", self._take, 10)
        subscribe(node, "cen_segmentation", lambda status: self.reports.put(status["values"]))

    def _take(self, msg: Image) -> None:
        self._labels.put((msg.header.stamp.sec * 10**9 + msg.header.stamp.nanosec, time.monotonic_ns()))

    def send(self) -> int:
        """Publish a pair; its stamp, nanoseconds."""
        now = self._node.get_clock().now()
        header = Header(stamp=now.to_msg(), frame_id="camera")
        for publisher, image, encoding in zip(
            self._publishers, (self._rgb, self._depth), ("rgb8", "16UC1"), strict=True
        ):
            publisher.publish(array_to_image(image, encoding, header, Image))
        return now.nanoseconds

    def there_and_back(self) -> float | None:
        """Milliseconds from before a pair is sent to the arrival of its label; None if that is lost."""
        begun = time.monotonic_ns()
        stamp = self.send()
        try:
            while True:
                label, arrived = self._labels.get(timeout=PATIENCE)
                if label == stamp:
                    return (arrived - begun) / 1e6
        except Empty:
            return None

    def arrived(self) -> int:
        """How many labels came since the last look; waits until no more come."""
        count = 0
        try:
            while True:
                self._labels.get(timeout=1.0)
                count += 1
        except Empty:
            return count


def meet(camera: Camera) -> None:
    """Return once pairs go in and labels come out. Raises TimeoutError where they do not."""
    for _ in range(20):
        if camera.there_and_back() is not None:
            return
    raise TimeoutError("the node labels nothing")


def overhead(camera: Camera, frames: int) -> dict:
    """One frame after the other: the node's share, and there and back with DDS; milliseconds."""
    trips = [camera.there_and_back() for _ in range(WARM + frames)][WARM:]
    while not camera.reports.empty():
        camera.reports.get()
    report = camera.reports.get(timeout=PATIENCE)
    shares = {name: report[f"{name} ms, median"] for name in NODE}
    whole = [trip for trip in trips if trip is not None]
    if not whole:
        raise TimeoutError("no label came back")
    return {
        "frames": frames,
        "lost": len(trips) - len(whole),
        "node_ms": {**shares, "together": sum(shares.values()), "p95": sum(report[f"{name} ms, p95"] for name in NODE)},
        "there_and_back_ms": {"median": float(np.median(whole)), "p95": float(np.percentile(whole, 95))},
    }


def steady(camera: Camera, process: int, seconds: float) -> dict:
    """A camera at RATE: what is labelled, and the node's share of one core."""
    camera.arrived()
    begun, used = time.monotonic(), cpu_seconds(process)
    frames = round(RATE * seconds)
    for i in range(frames):
        camera.send()
        time.sleep(max(0.0, begun + (i + 1) / RATE - time.monotonic()))
    took, used = time.monotonic() - begun, cpu_seconds(process) - used
    return {"sent": frames, "labelled": camera.arrived(), "seconds": took, "cpu_share": used / took}


def memory(camera: Camera, process: int, frames: int) -> dict:
    """Resident bytes of the node after EARLY frames and after all of them."""
    seen = {}
    with Progress() as bars:
        for i in bars.track(range(1, frames + 1), description=f"{frames} frames"):
            camera.there_and_back()
            if i in (EARLY, frames):
                seen[i] = resident_bytes(process)
    return {"early_frames": EARLY, "frames": frames, "early": seen[EARLY], "late": seen[frames]}


def cpu_seconds(process: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(process: int) -> int:
    """Of a process, in memory now."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def copy_gigabytes_per_second() -> float:
    """How fast this machine copies memory, on one core: the limit of whatever moves images."""
    source = np.ones(2**26, np.uint8)
    target = np.empty_like(source)
    times = []
    for _ in range(8):
        begun = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - begun)
    return source.nbytes / min(times) / 1e9


def measure(args: argparse.Namespace, process: int) -> dict:
    """All of it, as plain values; `process` is the node's."""
    rclpy.init(signal_handler_options=rclpy.SignalHandlerOptions.NO)
    executor = SingleThreadedExecutor()
    tester = rclpy.create_node("camera")
    camera = Camera(tester, tuple(args.size))
    executor.add_node(tester)
    spinning = threading.Thread(target=executor.spin)
    spinning.start()
    try:
        meet(camera)
        return {
            "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
            "size": list(args.size),
            "moved_megabytes": 6 * args.size[0] * args.size[1] / 1e6,  # a pixel: 3 bytes RGB, 2 depth, 1 label
            "copy_gigabytes_per_second": copy_gigabytes_per_second(),
            "overhead": overhead(camera, args.frames),
            "steady": steady(camera, process, args.seconds),
            "memory": memory(camera, process, args.long),
        }
    finally:
        executor.shutdown()
        spinning.join()
        tester.destroy_node()
        rclpy.shutdown()


def markdown(result: dict) -> str:
    """The result for people, with the limit beside it."""
    height, width = result["size"]
    node, trip = result["overhead"]["node_ms"], result["overhead"]["there_and_back_ms"]
    flow, memory_ = result["steady"], result["memory"]
    copied = result["moved_megabytes"] / result["copy_gigabytes_per_second"]
    growth = memory_["late"] / memory_["early"] - 1
    rows = {
        f"node alone, from the colour image's callback to the label, {width}x{height}, median": _ms(node["together"]),
        **{f"- {name}": _ms(node[name]) for name in NODE},
        "the same, p95 of each step added up": _ms(node["p95"]),
        "there and back, over DDS, median": _ms(trip["median"]),
        "there and back, p95": _ms(trip["p95"]),
        f"labelled at {RATE:g} Hz for {flow['seconds']:.0f} s": f"{flow['labelled']} of {flow['sent']}",
        "processor, share of one core": f"{flow['cpu_share']:.0%}",
        f"memory after {memory_['early_frames']} frames": f"{memory_['early'] / 1e6:.1f} MB",
        f"memory after {memory_['frames']} frames": f"{memory_['late'] / 1e6:.1f} MB ({growth:+.1%})",
    }
    lines = "".join(f"| {name} | {value} |\n" for name, value in rows.items())
    return (
        "# What the node takes beside the network\n\n`python -m cen_ros.benchmark`, with a network that does nothing, "
        f"on {result['machine']['cores']} cores ({result['machine']['processor']}).\n\n| | |\n|---|---|\n{lines}\n"
        f"The limit: {result['moved_megabytes']:.1f} MB of images and labels a frame; to copy them once takes "
        f"{copied:.2f} ms here ({result['copy_gigabytes_per_second']:.1f} GB/s).\n"
    )


def _ms(value: float) -> str:
    return f"{value:.2f} ms"


async def run(args: argparse.Namespace) -> dict:
    """Start the node, measure it, and end it."""
    environment = private_environment(fast_dds_profile())
    os.environ.update(environment)  # rmw reads this process's when it starts
    with TemporaryDirectory() as logs:
        async with children({"node": ["cen_ros.identity"]}, environment, Path(logs)) as started:
            try:
                return await asyncio.to_thread(measure, args, started["node"].process.pid)
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
        for suffix, content in ((".json", json.dumps(result, indent=2) + "\n"), (".md", text)):
            write_atomically(args.output.with_suffix(suffix), lambda file, text=content: file.write_text(text))
    print(text)


if __name__ == "__main__":
    main()
