# SPDX-License-Identifier: Apache-2.0
"""The machine that measurements are taken on: what it is, how fast it can be, and how much memory was used."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor

from cen_model.utils import devices, provenance

SIZES = (256, 512, 1024, 2048, 4096, 8192)
SECONDS_PER_PRODUCT = 0.2
LONGEST_PRODUCT = 0.5
"""Seconds; no larger product is tried where it would take longer: half precision without instructions for it crawls."""

PACKAGES = ("torch", "torchvision", "openvino", "onnxruntime", "torch-tensorrt", "torch-tensorrt-rtx")


def matmul_ceiling(dtype: torch.dtype, device: torch.device | str) -> float:
    """The practical ceiling of a machine: FLOP/s of its fastest product of n×n matrices, n = 256 to 8192.

    A multiplication with an addition counts as two. Every product is tried as a matrix product and as the 1×1
    convolution in channels-last layout that is the same product, because different libraries compute the two (MKL and
    oneDNN on the CPU, cuBLAS and cuDNN on a GPU, where float32 convolutions use TF32 unless that is switched off), and
    either can be the faster. Takes about two seconds; on the CPU, as many threads as torch is set to.
    """
    device = torch.device(device)
    return max(_fastest(product, dtype, device) for product in (_matrices, _convolution))


@torch.inference_mode()
def _fastest(make: Callable[[Tensor], Callable[[], Tensor]], dtype: torch.dtype, device: torch.device) -> float:
    fastest = 0.0
    for n in SIZES:
        seconds = _seconds(make(torch.rand(n, n, device=device).to(dtype)), device)
        fastest = max(fastest, 2 * n**3 / seconds)
        if 8 * seconds > LONGEST_PRODUCT:
            break
    return fastest


def _matrices(x: Tensor) -> Callable[[], Tensor]:
    return lambda: x @ x


def _convolution(x: Tensor) -> Callable[[], Tensor]:
    n = len(x)
    image = x.view(1, n // 16, 16, n).permute(0, 3, 1, 2)  # the rows of x are its pixels
    kernel = x.view(n, n, 1, 1).contiguous(memory_format=torch.channels_last)
    return lambda: F.conv2d(image, kernel)


def _seconds(product: Callable[[], Tensor], device: torch.device) -> float:
    product()  # chooses and prepares kernels
    durations, start = [], perf_counter()
    while not durations or perf_counter() - start < SECONDS_PER_PRODUCT:
        begin = perf_counter()
        product()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        durations.append(perf_counter() - begin)
    return min(durations)


def describe(device: torch.device | str) -> dict[str, str]:
    """What stands beside every measurement: processor, memory and versions, by name; the GPU where it is the device."""
    device = torch.device(device)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    machine = {
        **devices.describe_cpu(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "memory": f"{memory / 2**30:.1f} GiB",
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        machine["gpu"] = f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB"
        machine["cuda"] = f"{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    return {**machine, "python": platform.python_version(), **provenance.versions(PACKAGES)}


def precisions(device: torch.device | str) -> list[str]:
    """Those that a device has instructions for; others would crawl."""
    if torch.device(device).type == "cuda":
        return ["fp32", "fp16", "bf16"]
    return ["fp32", "bf16"] if devices.cpu_has_bfloat16() else ["fp32"]


def peak_memory(device: torch.device | str = "cpu") -> int:
    """Bytes: the most that this process has held so far, or on a GPU the most that its tensors have occupied there."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # Not resource.getrusage: its maximum outlives execve, so that a small process started by a large one reports the
    # large one's memory.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024
