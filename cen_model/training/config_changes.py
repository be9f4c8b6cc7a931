# SPDX-License-Identifier: Apache-2.0
"""In what two training configurations differ, and which of it a continued run may change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cen_model.config import rename_keys
from cen_model.training.run_config import TASKS, plain

# What a continued run may change: none of it decides which step follows which.
_FREE = {
    *("output", "resume", "dry_run", "validate_every", "save_every", "save_minutes", "schedule.epochs"),
    *("data.root", "data.workers", "data.evaluation_batch"),
    *("hardware.devices", "hardware.strategy", "hardware.compile", "hardware.recompute"),
}


def refuse_changes(started: Mapping[str, Any], continued: Mapping[str, Any], file: Path) -> None:
    """Raise ValueError that names the keys in which a continued run's configuration differs from the one it began with.

    More epochs are allowed; with a cosine schedule they bend it from there on.
    """
    if changed := changes(started, continued):
        words = ", ".join(f"{key} was {before!r}, is {now!r}" for key, (before, now) in changed.items())
        raise ValueError(
            f"{file}: the run was started with another configuration: {words}; repeat its overrides, or choose another "
            "output"
        )


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The keys in which two configurations differ, those aside that decide nothing, with both values (None: absent).

    A key that came after one of them was written has its default there.
    """
    a, b = (_flat(_completed(each, _defaults(each))) for each in map(rename_keys, (before, now)))
    return {key: (a.get(key), b.get(key)) for key in sorted((a.keys() | b.keys()) - _FREE) if a.get(key) != b.get(key)}


def _defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    return plain(asdict(TASKS[config["task"]]()))


def _completed(values: Any, defaults: Any) -> Any:
    if not (isinstance(values, Mapping) and isinstance(defaults, Mapping)):
        return values
    return {**defaults, **{key: _completed(value, defaults.get(key)) for key, value in values.items()}}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
