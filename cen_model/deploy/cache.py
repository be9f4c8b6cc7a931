# SPDX-License-Identifier: Apache-2.0
"""Engines on disk, each built once: what a backend makes of a network for one machine takes seconds to 20 minutes.

An engine is a folder named by the hash of all that it depends on; a manifest inside holds the hash of every file.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

from cen_model.utils.files import cache_directory, write_json_atomically

LOGGER = logging.getLogger("cen_model.deploy")
MANIFEST = "manifest.json"
KEY_LENGTH = 24
UNFINISHED = ".part"


class EngineFolderError(OSError):
    """The folder of engines cannot be written."""


@dataclass(frozen=True)
class Entry:
    """What the cache holds under one key.

    Attributes:
        key: 24 hexadecimal digits.
        folder: where the engine's files are.
        parts: what the engine depends on; empty where the manifest cannot be read.
        bytes: size of all its files, the manifest among them.
        created: seconds since the epoch.
        valid: whether every file is as it was built; if not, the engine is built again when it is next asked for.
    """

    key: str
    folder: Path
    parts: Mapping[str, str]
    bytes: int
    created: float
    valid: bool


class EngineCache:
    """A folder of engines that the processes and threads of a machine share.

    Args:
        root: the folder, made when it is first needed; None takes `engines` in the project's cache folder.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or cache_directory() / "engines"

    def get(self, parts: Mapping[str, str], build: Callable[[Path], None]) -> Path:
        """The folder of a whole engine, built now if need be.

        Of those who ask for the same engine one builds and the others wait. A damaged one is built again.

        Args:
            parts: all that the engine depends on: hash of weights and graph, backend, precision, shapes, versions of
                libraries, name and compute capability of the device.
            build: fills an empty folder; manifest.json is taken. What it raises passes through, and leaves no engine.

        Raises:
            EngineFolderError: an engine has to be built, and the cache's folder cannot be written.
        """
        folder = self._root / _key(parts)
        # Without the lock, so that engines are found where nothing can be written.
        if not _inspect(folder)[1]:
            return folder
        with self._explained():
            self._root.mkdir(parents=True, exist_ok=True)
            lock = self._acquired(folder.name)
        with lock:
            if fault := _inspect(folder)[1]:
                self._fill(folder, parts, build, fault)
        return folder

    def entries(self) -> list[Entry]:
        """All engines by their keys, damaged ones too. Every file is read."""
        found = []
        for folder in (folder for folder in self._folders() if folder.suffix != UNFINISHED):
            with suppress(FileNotFoundError):  # removed by another process meanwhile
                parts, fault = _inspect(folder)
                size = sum(_sizes(folder).values())
                found.append(Entry(folder.name, folder, parts, size, folder.stat().st_mtime, valid=not fault))
        return found

    def clear(self) -> int:
        """Remove all engines and what dead builders left, but nothing that is being built; returns the bytes freed.

        The empty lock files stay: removed under those who wait for them, they would let two build at a time.
        """
        freed = 0
        for key in {folder.name[:KEY_LENGTH] for folder in self._folders()}:
            with suppress(Timeout), self._lock(key, timeout=0):
                freed += sum(map(_remove, self._folders(key)))
        return freed

    def _fill(self, folder: Path, parts: Mapping[str, str], build: Callable[[Path], None], fault: str) -> None:
        if folder.exists():
            LOGGER.warning("engine %s is damaged and will be built again: %s", folder, fault)
        # The process is in the name because a compiler may outlive its killed builder, and still write there.
        unfinished = folder.with_name(f"{folder.name}.{os.getpid()}{UNFINISHED}")
        with self._explained():
            for stale in self._folders(folder.name):
                shutil.rmtree(stale, ignore_errors=stale != folder)
            unfinished.mkdir()
        try:
            build(unfinished)
            _write_manifest(unfinished, parts)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _folders(self, key: str = "[0-9a-f]" * KEY_LENGTH) -> list[Path]:
        return sorted(path for path in self._root.glob(f"{key}*") if path.is_dir())

    def _acquired(self, key: str) -> AbstractContextManager:
        lock = self._lock(key)
        with suppress(Timeout):
            return lock.acquire(timeout=0)
        LOGGER.info("engine %s is being built by another process or thread: waiting for it", key)
        return lock.acquire()

    def _lock(self, key: str, timeout: float = -1) -> FileLock:
        return FileLock(self._root / f"{key}.lock", timeout=timeout)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            way_out = "name a folder that can be written: parameter engine_cache, --output, or XDG_CACHE_HOME for all"
            text = f"{self._root}: no engine can be kept here ({error}); {way_out}"
            raise EngineFolderError(error.errno, text) from error


def _key(parts: Mapping[str, str]) -> str:
    return sha256(json.dumps(dict(parts), sort_keys=True).encode()).hexdigest()[:KEY_LENGTH]


def _write_manifest(folder: Path, parts: Mapping[str, str]) -> None:
    files = {name: _measure(folder / name) for name in sorted(_sizes(folder))}
    write_json_atomically(folder / MANIFEST, {"parts": dict(parts), "files": files})


def _inspect(folder: Path) -> tuple[dict[str, str], str | None]:
    """What the engine's manifest says that it depends on, and what is wrong with the engine; None where it is whole."""
    parts: dict[str, str] = {}
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        parts = dict(manifest["parts"])
        if _key(parts) != folder.name:
            return parts, f"{MANIFEST} names other parts, those of {_key(parts)}"
        changed = [name for name, expected in manifest["files"].items() if _measure(folder / name) != expected]
    except OSError as error:
        return parts, str(error)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return parts, f"{MANIFEST} cannot be read: {error!r}"
    return parts, f"{', '.join(changed)} changed since the engine was built" if changed else None


def _measure(path: Path) -> dict[str, int | str]:
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"size": path.stat().st_size, "sha256": digest.hexdigest()}


def _remove(folder: Path) -> int:
    freed = sum(_sizes(folder).values())
    shutil.rmtree(folder)
    return freed


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of every file, by its path from the folder."""
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
