"""Processes that a benchmark starts, and what they have cost: CPU and memory, from /proc."""

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
TICK = 1 / _TICKS
"""The seconds that the kernel counts CPU time by."""

_PAGE = os.sysconf("SC_PAGE_SIZE")
_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"


@asynccontextmanager
async def process(*command: str, env: Mapping[str, str] | None = None) -> AsyncIterator[int]:
    """Run a process for the length of the block; gives its pid."""
    child = await asyncio.create_subprocess_exec(
        *command,
        env=as_a_user(env),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield child.pid
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()


def as_a_user(more: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """Return the environment of a process as a user starts it, with more in it.

    Installing writes bytecode. Where that is switched off, which a container's image may do, a
    checkout has none: each start would compile all of our modules, and take a quarter longer.
    """
    ours = {name: value for name, value in os.environ.items() if name != _NO_BYTECODE}
    return {**ours, **(more or {})}


async def load(*arguments: str, module: str = "load") -> dict[str, float]:
    """Run a load to its end in a process of its own, and return what it printed."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.benchmarks.{module}", *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await child.communicate()
    if child.returncode:
        raise SystemExit(f"the load failed: {out.decode()}")
    return {key: value for line in out.splitlines() for key, value in json.loads(line).items()}


async def until(
    condition: str, holds: Callable[[], Awaitable[bool]], seconds: float = 300, pause: float = 0.02
) -> None:
    """Wait for a condition, looking after each pause; give up loudly."""
    deadline = time.monotonic() + seconds
    while not await holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"gave up waiting until {condition}")
        await asyncio.sleep(pause)


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def with_children(pids: Iterable[int]) -> set[int]:
    """Return these processes and all that descend from them."""
    parents = {pid: parent for pid in _all_pids() if (parent := _parent(pid)) is not None}
    found = set(pids)
    while grown := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= grown
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time of processes and their children, those that have ended included."""
    return sum(sum(_times(pid)) for pid in with_children(pids)) / _TICKS


def memory(pids: Iterable[int]) -> int:
    """Return the resident bytes of processes and their children, shared pages counted each time."""
    return sum(_resident(pid) for pid in with_children(pids))


def _all_pids() -> Iterable[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _fields(pid: int) -> list[str]:
    """Return what stands behind the command's name in a process's stat; nothing once it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _parent(pid: int) -> int | None:
    fields = _fields(pid)
    return int(fields[1]) if fields else None


def _times(pid: int) -> tuple[int, ...]:
    # utime, stime, and both of the children that were waited for.
    return tuple(int(field) for field in _fields(pid)[11:15])


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0
