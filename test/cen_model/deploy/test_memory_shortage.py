# SPDX-License-Identifier: Apache-2.0
"""Memory that runs out is said as such, whoever finds out; nothing else is taken for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cen_model.cli import weights
from cen_model.cli.cen import main
from cen_model.deploy.memory_shortage import shortage

OF_PYTORCH = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 3.25 GiB. GPU 0 has a total capacity of 7.44 GiB of which 1.90 GiB is free. "
    "Including non-PyTorch memory, this process has 5.50 GiB memory in use.\nIf reserved but unallocated memory is "
    "large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation."
)
TOO_MUCH = 2**56
"""Bytes that no machine has."""


@pytest.mark.parametrize(
    "take", [lambda: torch.empty(TOO_MUCH, dtype=torch.uint8), lambda: np.empty(TOO_MUCH, np.uint8)]
)
def test_what_this_machine_raises_is_known(take):
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        take()
    assert shortage(caught.value).startswith("not enough memory: ")


@pytest.mark.parametrize(
    "error",
    [
        OF_PYTORCH,
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported asynchronously"),
        RuntimeError("[Error] Error Code 2: OutOfMemory (Requested size was 1073741824 bytes.)"),
        MemoryError(),
    ],
    ids=["pytorch", "cuda", "tensorrt", "python"],
)
def test_what_gpus_raise_is_told_in_one_line_with_what_helps(error):
    text = shortage(error)
    assert text.startswith("not enough memory: ") and "smaller input_size" in text
    assert "\n" not in text and "ALLOC_CONF" not in text


@pytest.mark.parametrize("error", [RuntimeError("expected 3 channels"), ValueError("memory"), KeyError(3)])
def test_other_errors_are_not_taken_for_it(error):
    assert shortage(error) is None


def test_a_command_that_runs_out_of_memory_ends_in_words(monkeypatch, capsys):
    def work(arguments):
        raise OF_PYTORCH

    monkeypatch.setattr(weights, "main", work)
    assert main(["weights"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("cen weights: not enough memory: CUDA out of memory. Tried to allocate 3.25 GiB.")
