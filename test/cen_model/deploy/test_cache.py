# SPDX-License-Identifier: Apache-2.0
"""The engine cache: real processes race, die and do damage, and nothing but whole engines comes out."""

from __future__ import annotations

import errno
import json
import logging
import multiprocessing
import os
import re
import shutil
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from cen_model.deploy.cache import EngineCache, EngineFolderError

SPAWN = multiprocessing.get_context("spawn")
SECONDS = 60  # for another process to do its part; a test that works does not get there
NOBODY = 65534
PARTS = {"device": "cpu", "backend": "inductor"}
KEY = "6f73348ce27b4d477f7aa798"  # printf '{"backend": "inductor", "device": "cpu"}' | sha256sum
OTHER = {**PARTS, "device": "cuda"}
ENGINE = bytes(range(256)) * 8
HALF = ENGINE[:1000]


def build(folder):
    assert not list(folder.iterdir())
    (folder / "engine.bin").write_bytes(ENGINE)
    (folder / "kernels").mkdir()
    (folder / "kernels" / "first.so").write_bytes(b"code")


def unneeded(folder):
    raise AssertionError("built where an engine was")


def assert_whole(folder):
    assert (folder / "engine.bin").read_bytes() == ENGINE
    assert (folder / "kernels" / "first.so").read_bytes() == b"code"


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def names(folder):
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path)


def test_an_engine_is_built_once(cache, tmp_path):
    folder = cache.get(PARTS, build)
    assert folder == tmp_path / KEY
    assert cache.get(dict(reversed(PARTS.items())), unneeded) == folder
    assert_whole(folder)


@pytest.mark.parametrize("parts", [OTHER, {"device": "cpu"}, {**PARTS, "precision": "fp16"}])
def test_other_parts_are_another_engine(cache, parts):
    assert cache.get(PARTS, build) != cache.get(parts, build)
    assert cache.get(PARTS, unneeded) != cache.get(parts, unneeded)


def test_engines_are_in_the_projects_cache_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert EngineCache().get(PARTS, build) == tmp_path / "cen_ros" / "engines" / KEY


def test_entries_tell_what_is_there(cache):
    assert cache.entries() == []
    before = time.time()
    folders = sorted(cache.get(parts, build) for parts in (PARTS, OTHER))
    entries = cache.entries()
    assert [entry.folder for entry in entries] == folders
    assert [entry.key for entry in entries] == [folder.name for folder in folders]
    assert [entry.bytes for entry in entries] == [size(folder) for folder in folders]
    assert all(before - 1 <= entry.created <= time.time() and entry.valid for entry in entries)
    assert {entry.key: entry.parts for entry in entries}[KEY] == PARTS


class TellsThatItWaits(logging.Handler):
    """Releases a semaphore when the cache tells this thread that another builds the engine."""

    def __init__(self, waiting):
        super().__init__()
        self.waiting, self.thread = waiting, threading.get_ident()

    def emit(self, record):
        if record.thread == self.thread and "waiting for it" in record.getMessage():
            self.waiting.release()


def ask(root, waiting, others, results):
    """Get the engine; if it has to be built, be done no sooner than so many others wait for it."""
    built = []

    def build_when_others_wait(folder):
        build(folder)
        for _ in range(others):
            assert waiting.acquire(timeout=SECONDS)
        built.append(folder)

    logger, handler = logging.getLogger("cen_model.deploy"), TellsThatItWaits(waiting)
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    folder = EngineCache(root).get(PARTS, build_when_others_wait)
    logger.removeHandler(handler)
    results.put((len(built), folder, (folder / "engine.bin").read_bytes()))


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("kind", [SPAWN.Process, threading.Thread])
def test_of_many_that_ask_one_builds(cache, tmp_path, caplog, kind, damaged):
    caplog.set_level(logging.INFO, "cen_model.deploy")  # for threads: pytest takes back what they set
    if damaged:
        (cache.get(PARTS, build) / "engine.bin").unlink()
    waiting, results = SPAWN.Semaphore(0), SPAWN.Queue()
    askers = [kind(target=ask, args=(tmp_path, waiting, 3, results), daemon=True) for _ in range(4)]
    for asker in askers:
        asker.start()
    built, folders, contents = zip(*(results.get(timeout=SECONDS) for _ in askers), strict=True)
    for asker in askers:
        asker.join(SECONDS)
    assert sorted(built) == [0, 0, 0, 1]
    assert set(folders) == {tmp_path / KEY} and set(contents) == {ENGINE}
    assert names(tmp_path) == {KEY, f"{KEY}.lock"}


def build_together(root, parts, both):
    def build_in_company(folder):
        both.wait(SECONDS)
        build(folder)

    EngineCache(root).get(parts, build_in_company)


def test_two_engines_are_built_at_a_time(cache, tmp_path):
    both = SPAWN.Barrier(2)
    builders = [SPAWN.Process(target=build_together, args=(tmp_path, parts, both)) for parts in (PARTS, OTHER)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert [builder.exitcode for builder in builders] == [0, 0]
    assert [entry.valid for entry in cache.entries()] == [True, True]


def build_slowly(root, half_done, go_on):
    def build_in_two_halves(folder):
        (folder / "engine.bin").write_bytes(HALF)
        half_done.set()
        assert go_on.wait(SECONDS)
        (folder / "engine.bin").unlink()
        build(folder)

    EngineCache(root).get(PARTS, build_in_two_halves)


@contextmanager
def half_built(root):
    """A process that has built half of an engine, and the event that lets it go on."""
    half_done, go_on = SPAWN.Event(), SPAWN.Event()
    process = SPAWN.Process(target=build_slowly, args=(root, half_done, go_on))
    process.start()
    try:
        assert half_done.wait(SECONDS)
        yield process, go_on
    finally:
        process.kill()
        process.join()


def test_what_a_killed_builder_leaves_is_no_engine(cache, tmp_path):
    with half_built(tmp_path) as (builder, _):
        builder.kill()
    assert size(tmp_path) == len(HALF)
    assert cache.entries() == []
    assert_whole(cache.get(PARTS, build))
    assert names(tmp_path) == {KEY, f"{KEY}.lock"}


def test_who_waits_for_a_builder_that_is_killed_builds(tmp_path):
    waiting, results = SPAWN.Semaphore(0), SPAWN.Queue()
    with half_built(tmp_path) as (builder, _):
        heir = SPAWN.Process(target=ask, args=(tmp_path, waiting, 0, results), daemon=True)
        heir.start()
        assert waiting.acquire(timeout=SECONDS)
        builder.kill()
        assert results.get(timeout=SECONDS) == (1, tmp_path / KEY, ENGINE)
    heir.join()
    assert names(tmp_path) == {KEY, f"{KEY}.lock"}


def test_clear_removes_engines_whole_damaged_and_half_built(cache, tmp_path):
    assert cache.clear() == 0
    with half_built(tmp_path) as (builder, _):
        builder.kill()
    (cache.get(OTHER, build) / "manifest.json").unlink()
    cache.get({**OTHER, "precision": "fp16"}, build)
    there = size(tmp_path)
    assert cache.clear() == there > len(HALF) + 2 * len(ENGINE)
    assert {path.suffix for path in tmp_path.iterdir()} == {".lock"} and size(tmp_path) == 0
    assert_whole(cache.get(PARTS, build))


def test_clear_leaves_what_is_being_built(cache, tmp_path):
    with half_built(tmp_path) as (builder, go_on):
        finished = cache.get(OTHER, build)
        assert [entry.folder for entry in cache.entries()] == [finished]
        there = size(finished)
        assert cache.clear() == there
        assert not finished.exists() and size(tmp_path) == len(HALF)
        go_on.set()
        builder.join(SECONDS)
        assert builder.exitcode == 0
    assert_whole(cache.get(PARTS, unneeded))


@pytest.mark.parametrize("error", [RuntimeError("no kernel"), OSError(errno.ENOSPC, "disk full"), KeyboardInterrupt()])
def test_a_build_that_fails_leaves_nothing(cache, tmp_path, error):
    def fail(folder):
        build(folder)
        raise error

    with pytest.raises(type(error)) as raised:
        cache.get(PARTS, fail)
    assert raised.value is error
    assert names(tmp_path) == {f"{KEY}.lock"}
    assert_whole(cache.get(PARTS, build))


def manifest(change):
    """Damage that is done to the manifest's content."""

    def edit(folder):
        content = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        change(content)
        (folder / "manifest.json").write_text(json.dumps(content), encoding="utf-8")

    return edit


def replaced(name, change):
    """Damage that is done to a file's bytes."""
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def removed(name):
    return lambda folder: (folder / name).unlink()


def made_a_folder(name):
    return lambda folder: ((folder / name).unlink(), (folder / name).mkdir())


DAMAGE = {
    "no manifest": (removed("manifest.json"), "No such file .*manifest.json"),
    "empty manifest": (replaced("manifest.json", lambda _: b""), "manifest.json cannot be read"),
    "truncated manifest": (replaced("manifest.json", lambda old: old[:-9]), "manifest.json cannot be read"),
    "binary manifest": (replaced("manifest.json", lambda _: ENGINE), "manifest.json cannot be read"),
    "another's manifest": (replaced("manifest.json", lambda _: b"[]"), "manifest.json cannot be read"),
    "manifest is a folder": (made_a_folder("manifest.json"), "Is a directory: .*manifest.json"),
    "other parts": (manifest(lambda content: content["parts"].update(device="cuda")), "names other parts"),
    "fewer parts": (manifest(lambda content: content["parts"].pop("device")), "names other parts"),
    "no parts": (manifest(lambda content: content.pop("parts")), "manifest.json cannot be read: .*parts"),
    "no files": (manifest(lambda content: content.pop("files")), "manifest.json cannot be read: .*files"),
    "list of files": (manifest(lambda content: content.update(files=[])), "manifest.json cannot be read"),
    "missing file": (removed("engine.bin"), "No such file .*engine.bin"),
    "missing file below": (removed("kernels/first.so"), "No such file .*first.so"),
    "file is a folder": (made_a_folder("engine.bin"), "Is a directory: .*engine.bin"),
    "truncated file": (replaced("engine.bin", lambda old: old[:-1]), "engine.bin changed"),
    "emptied file": (replaced("engine.bin", lambda _: b""), "engine.bin changed"),
    "longer file": (replaced("engine.bin", lambda old: old + b"\0"), "engine.bin changed"),
    "one bit": (replaced("kernels/first.so", lambda _: b"coee"), "kernels/first.so changed"),
    "nothing left": (lambda folder: (shutil.rmtree(folder), folder.mkdir()), "No such file .*manifest.json"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_engine_is_built_again(cache, caplog, damage, message):
    folder = cache.get(PARTS, build)
    damage(folder)
    assert [entry.valid for entry in cache.entries()] == [False]
    assert not caplog.records
    assert cache.get(PARTS, build) == folder
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("cen_model.deploy", "WARNING")
    assert str(folder) in record.getMessage() and re.search(message, record.getMessage())
    assert_whole(cache.get(PARTS, unneeded))
    assert [entry.valid for entry in cache.entries()] == [True]
    assert len(caplog.records) == 1


def test_a_folder_that_cannot_be_says_the_way_out(tmp_path):
    (tmp_path / "file").touch()
    said = f"{tmp_path}/file/engines: .*Not a directory.* parameter engine_cache, --output, or XDG_CACHE_HOME"
    with pytest.raises(EngineFolderError, match=said) as raised:
        EngineCache(tmp_path / "file" / "engines").get(PARTS, unneeded)
    assert raised.value.errno == errno.ENOTDIR


def give_up_root():
    if os.geteuid() == 0:
        os.seteuid(NOBODY)


def get_read_only(root, parts):
    return EngineCache(root).get(parts, unneeded)


def test_a_read_only_folder_gives_what_it_holds_and_says_the_way_out():
    """In a folder of its own: none but this user may look into pytest's."""
    with tempfile.TemporaryDirectory() as name, ProcessPoolExecutor(1, SPAWN, give_up_root) as pool:
        Path(name).chmod(0o755)
        root = Path(name) / "engines"
        folder = EngineCache(root).get(PARTS, build)
        root.chmod(0o555)
        assert pool.submit(get_read_only, root, PARTS).result(SECONDS) == folder
        with pytest.raises(EngineFolderError, match=f"{root}: .*Permission denied.* XDG_CACHE_HOME"):
            pool.submit(get_read_only, root, OTHER).result(SECONDS)
        root.chmod(0o755)
