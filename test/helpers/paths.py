# SPDX-License-Identifier: Apache-2.0
"""Folders that tests read from."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = REPOSITORY / "config"
SHARED = REPOSITORY.parent / "shared"
"""Real data beside the repository: NYUDv2 and reference outputs. Tests that need it skip where it is absent."""
