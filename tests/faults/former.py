"""The former version of the product, out of the repository's history, with today's dependencies."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from attrs import define

from tests.conftest import require
from tests.faults.stage import Up

_ROOT = Path(__file__).parents[2]
_VERSIONS = "adapters/notification_adapters/sql/migrations/versions"
_MIGRATION = f"{_VERSIONS}/v0002.py"
NEWEST_SCHEMA = max(int(path.stem[1:]) for path in (_ROOT / _VERSIONS).glob("v*.py"))
_MAIN = "import sys; from notification_entrypoints.cli import main; sys.exit(main())"
HOW_TO_GET_IT = "the history is missing: git fetch --unshallow, in a clone of the repository"


def _git(*arguments: str) -> bytes:
    """Return what git prints; nothing if it fails."""
    command = ["git", "-C", str(_ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=False).stdout  # noqa: S603 - our own words
    except OSError:
        return b""


def former_source(folder: Path) -> Path:
    """Unpack the last commit whose schema was 0001 into a folder; skip the test without history."""
    added = _git("log", "--format=%H", "--diff-filter=A", "--", _MIGRATION).split()
    archive = _git("archive", f"{added[-1].decode()}^") if added else b""
    require(archive, HOW_TO_GET_IT)
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)  # noqa: S603, S607 - it is beside git
    return folder


@define
class FormerUp(Up):
    """An installation of the former version, whose ``source`` comes before what is installed."""

    source: Path = Path()

    def _program(self) -> Sequence[str | Path]:
        return (sys.executable, "-P", "-c", _MAIN)

    def _environ(self) -> dict[str, str]:
        roots = (self.source, self.source / "adapters", self.source / "entrypoints")
        return {**super()._environ(), "PYTHONPATH": ":".join(map(str, roots))}
