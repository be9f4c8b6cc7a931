# SPDX-License-Identifier: Apache-2.0
"""ROS nodes as child processes on a private DDS domain, each with a log file, none of which outlives its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cen_model.utils.files import find_configuration

TAIL = 15
"""Lines of a log that are shown when its process died."""
STOP_SECONDS = 10.0
"""What a process is given to end after SIGINT, before it is killed."""


LEAKS = ("ROS_DISCOVERY_SERVER", "ROS_STATIC_PEERS", "ROS_LOCALHOST_ONLY")
"""Variables that would connect a private domain with others, or contradict ours."""


def private_environment(profile: Path) -> dict[str, str]:
    """This environment, with discovery on this machine alone, a domain of our own and a Fast DDS `profile`."""
    domain = str(1 + os.getpid() % 100)  # Linux's ephemeral ports leave domains 0-101 free; 0 is everybody's default
    inherited = {name: value for name, value in os.environ.items() if name not in LEAKS}
    if inherited.get("ROS_DISTRO") == "humble":  # does not know ROS_AUTOMATIC_DISCOVERY_RANGE yet
        inherited["ROS_LOCALHOST_ONLY"] = "1"
    return {
        **inherited,
        "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp",
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_DOMAIN_ID": domain,
        "FASTRTPS_DEFAULT_PROFILES_FILE": str(profile),
        "FASTDDS_DEFAULT_PROFILES_FILE": str(profile),  # the same since Kilted
        "PYTHONUNBUFFERED": "1",
    }


def fast_dds_profile() -> Path:
    """Our profile for large images: beside the source, or where the package is installed.

    Raises FileNotFoundError where it is in neither place.
    """
    return find_configuration("config/fastdds_large_images.xml").absolute()


@dataclass(frozen=True)
class Child:
    """A running module and where it writes what it says."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL:])

    async def stop(self) -> None:
        """SIGINT, so that a node can end in order; SIGKILL if it does not."""
        if self.process.returncode is not None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
        except asyncio.TimeoutError:
            print(f"{self.name} (pid {self.process.pid}) did not end within {STOP_SECONDS:g} s and is killed")
            self.process.kill()
            await self.process.wait()


@asynccontextmanager
async def children(commands: Mapping[str, list[str]], environment: dict[str, str], logs: Path):
    """Start `python -m …` commands by name; yields {name: Child}; all have ended when the block is left, for good."""
    logs.mkdir(parents=True, exist_ok=True)
    started: dict[str, Child] = {}
    try:
        for name, command in commands.items():
            log = logs / f"{name}.log"
            with log.open("wb") as stream:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", *command),
                    env=environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=stream,
                    stderr=asyncio.subprocess.STDOUT,
                    start_new_session=True,  # a terminal's Ctrl-C comes to the parent alone, which stops us in order
                )
            started[name] = Child(name, process, log)
        yield started
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # impatience must not leave processes behind; stopping is bounded
        await asyncio.gather(*(child.stop() for child in started.values()))


async def first_to_end(started: Mapping[str, Child], timeout: float) -> Child | None:
    """Wait until one of the children ends, and return it; None if all still run after `timeout` seconds."""
    waits = {asyncio.ensure_future(child.process.wait()): child for child in started.values()}
    done, pending = await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    for wait in pending:
        wait.cancel()
    return waits[done.pop()] if done else None
