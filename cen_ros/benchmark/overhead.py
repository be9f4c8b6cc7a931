# SPDX-License-Identifier: Apache-2.0
"""The measurements, and the table of them."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rich.progress import Progress

from cen_model.utils import devices
from cen_ros.benchmark.benchmark_camera import PATIENCE, Camera
from cen_ros.segmentation.measures import resident_bytes

RATE = 30.0
WARM = 100
"""Frames that are not counted."""
EARLY = 1000
"""Frames after which memory is looked at for the first time."""
NODE = ("pair", "wait", "convert", "publish")
"""The node's own share of a label's age, by the names in its diagnostics."""


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
    """A camera at RATE: what is labeled, and the node's share of one core."""
    camera.arrived()
    begun, used = time.monotonic(), cpu_seconds(process)
    frames = round(RATE * seconds)
    for i in range(frames):
        camera.send()
        time.sleep(max(0.0, begun + (i + 1) / RATE - time.monotonic()))
    took, used = time.monotonic() - begun, cpu_seconds(process) - used
    return {"sent": frames, "labeled": camera.arrived(), "seconds": took, "cpu_share": used / took}


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


def measure_overhead(process: int, size: tuple[int, int], frames: int, seconds: float, long: int) -> dict:
    """All of it, as plain values.

    Args:
        process: the node's.
        size: (height, width) of the images.
        frames: sent one after the other, for the latency.
        seconds: at RATE.
        long: frames until memory is looked at again, more than EARLY.
    """
    rclpy.init(signal_handler_options=rclpy.SignalHandlerOptions.NO)
    executor = SingleThreadedExecutor()
    tester = rclpy.create_node("camera")
    camera = Camera(tester, size)
    executor.add_node(tester)
    spinning = threading.Thread(target=executor.spin)
    spinning.start()
    try:
        meet(camera)
        return {
            "machine": {"processor": devices.describe_cpu()["cpu"], "cores": os.cpu_count()},
            "size": list(size),
            "moved_megabytes": 6 * size[0] * size[1] / 1e6,  # a pixel: 3 bytes RGB, 2 depth, 1 label
            "copy_gigabytes_per_second": copy_gigabytes_per_second(),
            "overhead": overhead(camera, frames),
            "steady": steady(camera, process, seconds),
            "memory": memory(camera, process, long),
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
        f"node alone, from the color image's callback to the label, {width}x{height}, median": _ms(node["together"]),
        **{f"- {name}": _ms(node[name]) for name in NODE},
        "the same, p95 of each step added up": _ms(node["p95"]),
        "there and back, over DDS, median": _ms(trip["median"]),
        "there and back, p95": _ms(trip["p95"]),
        f"labeled at {RATE:g} Hz for {flow['seconds']:.0f} s": f"{flow['labeled']} of {flow['sent']}",
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
