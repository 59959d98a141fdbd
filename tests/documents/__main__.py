"""Run what README, quickstart and guides tell their reader to run: ``nox -s documents``.

Each page has a folder and a network of its own, if the system has user namespaces; otherwise the
default ports have to be free. ``-- WORD …`` chooses the pages whose path has a word.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.documents.pages import CHECKOUT, DATA, Block, blocks, pages
from tests.documents.script import HERE, reasons, script_of
from tests.documents.servers import MARK, databases, missing

_NETWORK = ("unshare", "--user", "--map-root-user", "--net", "--mount", "bash", "-c")
_OWN = 'ip link set lo up && { [ ! -e hosts ] || mount --bind hosts /etc/hosts; } && exec "$@"'
_SECONDS = 120


def own_network() -> tuple[str, ...]:
    """Return what runs a command with a loopback interface of its own, nothing if nothing can."""
    command = (*_NETWORK, _OWN, "own")
    if not shutil.which("unshare"):
        return ()
    tried = subprocess.run((*command, "true"), capture_output=True, check=False)  # noqa: S603 - a command of ours
    return command if tried.returncode == 0 else ()


def run(path: Path, network: Sequence[str]) -> bool:
    """Run a page, print what was run and why the rest was not; return whether all succeeded."""
    name, began = path.relative_to(CHECKOUT).as_posix(), time.monotonic()
    needs_database = MARK in path.read_text("utf-8")
    without = missing(network) if needs_database else None
    refused, chosen = [], []
    for block in blocks(path):
        reason = without or reasons(block)
        if reason is not None:
            refused.append(f"  {name}:{block.line} was not run: {reason}")
        elif block.language not in DATA:
            chosen.append(block)
    code, output = 0, ""
    if chosen:
        with (
            TemporaryDirectory() as folder,
            _servers(Path(folder), needs_database=needs_database) as variables,
        ):
            code, output = _run(chosen, Path(folder), network, variables)
    took = f"{time.monotonic() - began:.0f} s"
    print(f"{'FAILED' if code else 'ok':6}  {name}: {len(chosen)} blocks run, {took}")
    print(*refused, sep="\n", end="\n" if refused else "", flush=True)
    if code:
        print(f"---- what {name} printed, until it failed\n{output}\n----", flush=True)
    return code == 0


def _servers(folder: Path, *, needs_database: bool) -> AbstractContextManager[Mapping[str, str]]:
    return databases(folder) if needs_database else nullcontext({})


def _run(
    chosen: Sequence[Block], folder: Path, network: Sequence[str], variables: Mapping[str, str]
) -> tuple[int, str]:
    """Run the blocks of a page in a folder that looks like a checkout with what is installed."""
    shutil.copytree(CHECKOUT / "docs" / "examples", folder / "docs" / "examples")
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "page.sh").write_text(script_of(chosen, folder))
    shutil.copy(HERE / "received.py", folder)
    programs = f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}"
    environ = {
        "PATH": programs,
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "ENV": "development",
        "EVENT_VALIDATION": "reject",  # An example whose data does not match its schema fails.
        "GOCACHE": str(CHECKOUT / "build" / "go"),
        **variables,
    }
    printed = folder / "page.log"
    with (
        printed.open("wb") as log,
        subprocess.Popen(  # noqa: S603 - the commands of our own pages
            [*network, "bash", "page.sh"],
            cwd=folder,
            env=environ,
            start_new_session=True,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        finally:  # The servers of the page are in its group.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, printed.read_text(errors="replace")


def main() -> int:
    """Run the pages that were asked for, by default all; fail if one fails."""
    network = own_network()
    if not network:
        print("Without user namespaces, ports 3615 to 3617 have to be free.")
    words = sys.argv[1:]
    chosen = [path for path in pages() if not words or any(word in str(path) for word in words)]
    failed = [path for path in chosen if not run(path, network)]
    print(f"{len(chosen) - len(failed)} of {len(chosen)} pages hold.")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
