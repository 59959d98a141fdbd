"""The examples of docs/receivers: what each is made of, how it is built, and how it is started."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen

from tests.receivers.commands import BUILD, HERE, run
from tests.support.services import running
from tests.support.waiting import until

RECEIVERS = HERE.parents[1] / "docs" / "receivers"


@frozen
class Project:
    """A folder that examples of a language share: their files, and what builds them.

    What is locked, and what runs an example that is not a server, is in ``projects``. ``programs``
    must be installed.
    """

    name: str
    files: Sequence[str]
    programs: Sequence[str] = ()
    build: Sequence[Sequence[str]] = ()

    @property
    def folder(self) -> Path:
        """Where it is built and run."""
        return BUILD / "examples" / self.name

    def missing(self) -> str | None:
        """Return why it cannot be built here, None if it can."""
        absent = [program for program in self.programs if shutil.which(program) is None]
        return f"{', '.join(absent)} not installed" if absent else None

    async def make(self) -> str | None:
        """Build it; return what a failing command printed, None if all succeed."""
        ours = HERE / "projects" / self.name
        if ours.exists():
            shutil.copytree(ours, self.folder, dirs_exist_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        for file in self.files:
            shutil.copy(RECEIVERS / file, self.folder)
        for command in self.build:
            code, printed = await run(self.folder, *command)
            if code:
                return f"{' '.join(command)}: {printed}"
        return None


@frozen
class Example:
    """A receiver: the command that starts it, which is told its port as ``{port}`` or PORT.

    One that ``caches`` keeps the keys between requests.
    """

    name: str
    project: Project
    command: Sequence[str]
    caches: bool = True

    @asynccontextmanager
    async def serving(self, port: int, variables: Mapping[str, str]) -> AsyncIterator[None]:
        """Have it listen on a port of loopback for the length of the block."""
        command = [part.format(port=port) for part in self.command]
        with TemporaryDirectory() as folder:
            given = {"PORT": str(port), "TMPDIR": folder, **variables}
            async with running(Path(folder), command, given, self.project.folder):
                await until(f"{self.name} listens", lambda: _listens(port))
                yield


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


_PYTHON = Project(
    "python",
    (
        "webhook_verifier.py",
        "receiver_aiohttp.py",
        "receiver_django.py",
        "receiver_fastapi.py",
        "receiver_flask.py",
    ),
)
_NODE = Project(
    "node",
    ("webhook-verifier.mjs", "receiver-node.mjs", "receiver-express.ts", "receiver-edge.ts"),
    ("node", "npm"),
    (("npm", "ci", "--silent", "--no-audit", "--no-fund"), ("npx", "tsc")),
)
_GO = Project("go", ("receiver.go",), ("go",), (("go", "build", "-o", "receiver", "."),))
_RUST = Project("rust", ("receiver.rs",), ("cargo",), (("cargo", "build", "--quiet", "--locked"),))
_JAVA = Project(
    "java",
    ("Receiver.java",),
    ("mvn", "javac"),
    (
        (
            *("mvn", "--quiet", "--batch-mode", "dependency:copy-dependencies"),
            "-DoutputDirectory=libs",
        ),
        ("javac", "-Xlint:all", "-Werror", "-cp", "libs/*", "Receiver.java"),
    ),
)
_RUBY = Project("ruby", ("receiver.ru",), ("ruby", "puma"))
_PHP = Project("php", ("receiver.php",), ("php",))
_OPENSSL = Project("openssl", ("verify.sh",), ("openssl", "curl", "jq"))
_PUMA = ("puma", "--quiet", "--bind", "tcp://127.0.0.1:{port}", "receiver.ru")
_DJANGO = ("receiver_django.py", "runserver", "--noreload", "{port}")
_UVICORN = ("-m", "uvicorn", "receiver_fastapi:app", "--port", "{port}")
_FLASK = ("-m", "flask", "--app", "receiver_flask", "run", "--port", "{port}")

EXAMPLES: Mapping[str, Example] = {
    example.name: example
    for example in (
        Example("aiohttp", _PYTHON, (sys.executable, "receiver_aiohttp.py")),
        Example("fastapi", _PYTHON, (sys.executable, *_UVICORN)),
        Example("django", _PYTHON, (sys.executable, *_DJANGO)),
        Example("flask", _PYTHON, (sys.executable, *_FLASK)),
        Example("node", _NODE, ("node", "receiver-node.mjs")),
        Example("express", _NODE, ("node", "compiled/receiver-express.js")),
        Example("edge", _NODE, ("node", "serve-edge.mjs")),
        Example("go", _GO, ("./receiver",)),
        Example("java", _JAVA, ("java", "-cp", "libs/*:.", "Receiver")),
        Example("rust", _RUST, ("target/debug/receiver",)),
        Example("ruby", _RUBY, _PUMA),
        Example("php", _PHP, ("php", "-S", "127.0.0.1:{port}", "receiver.php")),
        Example("openssl", _OPENSSL, (sys.executable, "serve.py"), caches=False),
    )
}
