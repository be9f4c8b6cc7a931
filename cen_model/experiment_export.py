# SPDX-License-Identifier: Apache-2.0
"""What there is to take away of a finished run, in small files: for machines that are borrowed."""

from __future__ import annotations

import shutil
from pathlib import Path

from cen_model import checkpoint
from cen_model.evaluation.results import RESULTS
from cen_model.parts import write_parts

MAX_BYTES = 15 << 20


def export(run: Path, folder: Path, max_bytes: int = MAX_BYTES) -> list[Path]:
    """Write a run's last and best weights in half precision and in parts; copy its results, factors and log.

    `python -m cen_model.parts` puts the weights together. The whole files are not kept in `folder`.

    Returns:
        The parts of the weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (run / "gamma").is_dir():
        shutil.copytree(run / "gamma", folder / "gamma", dirs_exist_ok=True)
    parts = []
    for name in ("last.safetensors", "best.safetensors"):
        if (run / name).is_file():
            metadata = checkpoint.read_metadata(run / name)
            checkpoint.save(folder / name, checkpoint.load(run / name), metadata, half=True)
            parts += write_parts(folder / name, max_bytes)
            (folder / name).unlink()
    for name in ("config.yaml", "log.txt", RESULTS):  # the last says that nothing is missing
        if (run / name).is_file():
            shutil.copy(run / name, folder / name)
    return parts
