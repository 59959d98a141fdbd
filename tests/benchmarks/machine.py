"""What a figure was measured on: without it a figure says nothing."""

import asyncio
import os
import platform
import sqlite3
import sys
import sysconfig
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from uuid import UUID

_PACKAGES = (
    *("notification-management", "aiohttp", "uvloop", "httptools", "pynacl", "cryptography"),
    *("sqlalchemy", "aiosqlite", "asyncpg", "aiokafka"),
)
_UUIDS = 10_000
_FLUSHES = 200
_BETWEEN_FLUSHES = 0.05
_BLOCK = bytes(8192)


def described() -> dict[str, str]:
    """Return the host and the versions of what takes part, by name."""
    return {
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "a UUID made and written in Python": f"{_pace() * 1e6:.1f} µs",
        "a flush to the disk": _flush_told(),
        "sqlite": sqlite3.sqlite_version,
        **{name: found for name in _PACKAGES if (found := _version(name))},
    }


def interpreter() -> str:
    """Tell which Python runs, and whether it was built with optimisations.

    Debian builds with them and records nothing of it; its installation scheme gives it away.
    """
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    by_debian = sys.base_prefix == "/usr" and "posix_local" in sysconfig.get_scheme_names()
    built = "with" if "--enable-optimizations" in arguments or by_debian else "WITHOUT"
    where = Path(sys.base_prefix) / "bin"
    return f"Python {platform.python_version()} of {where}, built {built} optimisations"


def _pace() -> float:
    """Return how many seconds the interpreter takes for a piece of work that is all its own.

    The same version takes nearly twice as long where it was built without optimisations.
    """

    def write_all() -> None:
        for number in range(_UUIDS):
            str(UUID(int=number))

    return min(_seconds(write_all) for _ in range(5)) / _UUIDS


def _flush_told() -> str:
    """Tell how long a block takes to be safe on the disk that the databases are on."""
    with _flushing() as flush:
        times = sorted(_seconds(flush) for _ in range(_FLUSHES))
    return f"{_part(times, 0.5):.2f} ms (nine in ten within {_part(times, 0.9):.2f} ms)"


@asynccontextmanager
async def flushes_timed() -> AsyncIterator[list[float]]:
    """Time a flush now and then for the length of the block, in seconds."""
    times: list[float] = []

    async def time_them() -> None:
        while True:
            times.append(await asyncio.to_thread(_seconds, flush))
            await asyncio.sleep(_BETWEEN_FLUSHES)

    with _flushing() as flush:
        timing = asyncio.create_task(time_them())
        try:
            yield times
        finally:
            timing.cancel()
            await asyncio.gather(timing, return_exceptions=True)


@contextmanager
def _flushing() -> Iterator[Callable[[], None]]:
    """Give what writes a block and waits until it is safe on the disk."""
    with tempfile.TemporaryFile(buffering=0) as file:

        def flush() -> None:
            file.write(_BLOCK)
            os.fsync(file.fileno())

        yield flush


def _part(times: Sequence[float], part: float) -> float:
    return times[int(part * len(times))] * 1e3


def _seconds(act: Callable[[], None]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _processor() -> str:
    """Return what the processor calls itself, with its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    name = next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), "")
    return f"{name} ({platform.machine()})" if name else platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
