"""``python -m tests.clients``: clients that others' generators make of the API document work.

A TypeScript one (openapi-typescript with openapi-fetch) and a Python one (openapi-python-client)
are generated from the document of a running server, compiled, and used against it. Ends with 1
unless both have created a webhook and published an event.
"""

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from tests.support.ports import free_ports
from tests.support.services import wait_until_ok

HERE = Path(__file__).parent
_NOT_FOUND = "1200"


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run ``up`` on a new SQLite file; gives the base URL of its API."""
    api, ops = free_ports(2)
    variables = {"API_SERVER_PORT": str(api), "OPS_SERVER_PORT": str(ops)}
    command = ("notification-management", "up", "--data", str(folder))
    process = subprocess.Popen(command, env={**os.environ, **variables})  # noqa: S603 - our own
    try:
        wait_until_ok(f"http://127.0.0.1:{ops}/readyz", process)
        yield f"http://127.0.0.1:{api}/api"
    finally:
        process.terminate()
        process.wait()


def run(*command: str, folder: Path) -> str:
    """Run a command in a folder; return what it prints, and end where it fails."""
    print("$", *command, flush=True)
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        sys.exit(f"{command[0]} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def typescript(document: Path, api: str, environment: str, folder: Path) -> str:
    """Return what the generated TypeScript client prints."""
    for name in ("package.json", "package-lock.json", ".npmrc", "tsconfig.json", "use_client.ts"):
        shutil.copy(HERE / name, folder)
    run("npm", "ci", "--silent", "--no-audit", "--no-fund", folder=folder)
    run("npx", "openapi-typescript", str(document), "-o", "generated.d.ts", folder=folder)
    run("npx", "tsc", "-p", "tsconfig.json", folder=folder)
    return run("node", "compiled/use_client.js", api, environment, folder=folder)


def python(document: Path, api: str, environment: str, folder: Path) -> str:
    """Return what the generated Python client prints."""
    package = folder / "generated"
    generate = ("openapi-python-client", "generate", "--path", str(document))
    config = ("--config", str(HERE / "python_client.yaml"), "--output-path", str(package))
    run(*generate, *config, folder=folder)
    run(sys.executable, "-m", "compileall", "-q", str(package), folder=folder)
    script = str(HERE / "use_client.py")
    return run(sys.executable, "-P", script, str(package), api, environment, folder=folder)


def main() -> int:
    """Generate, compile and use both clients; return the exit code."""
    wrong = []
    with TemporaryDirectory() as text:
        folder = Path(text)
        with server(folder / "data") as api:
            document = folder / "openapi.json"
            with urlopen(f"{api}/openapi.json") as response:  # noqa: S310 - our own server
                document.write_bytes(response.read())
            for name, use in (("typescript", typescript), ("python", python)):
                place = folder / name
                place.mkdir()
                printed = use(document, api, str(uuid.uuid4()), place).split()
                print(f"{name}: {' '.join(printed)}", flush=True)
                if printed != [f"from-{name}", _NOT_FOUND]:
                    wrong.append(name)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
