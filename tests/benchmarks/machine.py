"""What a figure was measured on: without it a figure says nothing."""

import os
import platform
import sqlite3
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    *("notification-management", "aiohttp", "uvloop", "httptools", "pynacl", "cryptography"),
    *("sqlalchemy", "aiosqlite", "asyncpg", "aiokafka"),
)


def described() -> dict[str, str]:
    """Return the machine and the versions of what takes part, by name."""
    return {
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: found for name in _PACKAGES if (found := _version(name))},
    }


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
