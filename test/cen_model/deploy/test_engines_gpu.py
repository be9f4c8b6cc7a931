# SPDX-License-Identifier: Apache-2.0
"""Engines on a GPU, TensorRT's above all: CUDA_VISIBLE_DEVICES=0 pytest -m gpu."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from cen_model.deploy.backends import tensorrt
from cen_model.deploy.backends.selection import BACKENDS, targets
from cen_model.deploy.build import MAX_DIFFERENCE, build_engine, disagreement
from cen_model.deploy.cache import EngineCache
from cen_model.deploy.engine import CudaEngine
from cen_model.deploy.program import program
from cen_model.deploy.sample import sample_frame
from helpers.deployed import frame, tensors

pytestmark = pytest.mark.gpu

DEVICE = torch.device("cuda", 0)
LOAD = """
import sys
from pathlib import Path
import torch
from cen_model.deploy.backends import tensorrt
folder = Path(sys.argv[1])
inputs = torch.load(folder / "inputs.pt")
torch.save(tensorrt.load(folder, torch.device("cuda", 0))(*inputs), folder / "outputs.pt")
"""


@pytest.fixture(scope="module", params=BACKENDS["tensorrt"].precisions["cuda"])
def engine(request, tmp_path_factory):
    """A frame on the GPU, the folder of its engine, the engine, and the precision that it computes in."""
    if (reason := tensorrt.unavailable(DEVICE)) is not None:
        pytest.skip(f"TensorRT: {reason}")
    each = frame("cen-pspnet101", size=(72, 96), confidence=True).to(DEVICE)
    folder = tmp_path_factory.mktemp("engine")
    exported_program, _ = program(each, BACKENDS["tensorrt"].passes["cuda"], request.param)
    tensorrt.build(exported_program, each.example(), folder, request.param)
    return each, folder, tensorrt.load(folder, DEVICE), request.param


def on_gpu(each):
    return [x.to(DEVICE) for x in tensors(each)]


def test_labels_are_the_networks(engine):
    each, _, run, precision = engine
    assert disagreement(each, run, sample_frame(each)) <= MAX_DIFFERENCE[precision]
    labels, confidence = run(*on_gpu(each))
    assert labels.dtype == confidence.dtype == torch.uint8 and labels.is_cuda


@pytest.mark.parametrize("hole", [torch.nan, torch.inf, -torch.inf, -1.0])
def test_every_kind_of_hole_is_the_same_hole(engine, hole):
    each, _, run, _ = engine
    rgb, depth, per_meter = on_gpu(each)
    depth[20:40, 30:60] = 0
    expected = run(rgb, depth, per_meter)
    depth[20:40, 30:60] = hole
    assert all(torch.equal(x, y) for x, y in zip(run(rgb, depth, per_meter), expected, strict=True))


def test_another_process_loads_it(engine):
    each, folder, run, _ = engine
    inputs = on_gpu(each)
    torch.save(inputs, folder / "inputs.pt")
    subprocess.run([sys.executable, "-c", LOAD, str(folder)], check=True, timeout=600)
    outputs = torch.load(folder / "outputs.pt")
    assert all(torch.equal(x, y) for x, y in zip(outputs, run(*inputs), strict=True))


def test_a_whole_frame_is_one_cuda_graph(engine):
    """Captured with one frame, replayed with others."""
    each, _, run, _ = engine
    captured = CudaEngine(run, each.example())
    rgb, depth, per_meter = sample_frame(each)
    for arrays in ((rgb, depth, per_meter), (rgb[::-1], depth[::-1], per_meter)):
        expected = run(*(torch.from_numpy(x.copy()).to(DEVICE) for x in arrays))
        for actual, x in zip(captured(*arrays), expected, strict=True):
            assert torch.equal(torch.from_numpy(actual), x.cpu())


@pytest.mark.parametrize("backend", [name for name, each in BACKENDS.items() if "cuda" in each.precisions])
def test_every_backends_engines_are_kept_and_label_as_the_network(backend, tmp_path):
    if not torch.cuda.is_available():
        pytest.skip(f"{backend}: PyTorch finds no CUDA device")
    if (reason := BACKENDS[backend].unavailable(DEVICE)) is not None:
        pytest.skip(f"{backend}: {reason}")
    each = frame("cen-light18").to(DEVICE)
    arrays = sample_frame(each)
    with torch.inference_mode():
        expected = each(*on_gpu(each))[0].cpu().numpy()
    for count, precision in enumerate(BACKENDS[backend].precisions["cuda"], start=1):
        for _ in range(2):
            engine = build_engine(each, *targets(backend, DEVICE, precision), EngineCache(tmp_path))
            assert isinstance(engine, CudaEngine)
            assert (engine(*arrays)[0] != expected).mean() <= MAX_DIFFERENCE[precision]
            assert len(EngineCache(tmp_path).entries()) == count
