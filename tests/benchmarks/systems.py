"""The systems that are measured, each in processes of its own, as a user would start them."""

import asyncio
import sqlite3
import sys
import tempfile
import uuid
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

import aiohttp
import asyncpg
from attrs import field, frozen

from tests.benchmarks.load import TYPE
from tests.benchmarks.processes import free_port, process, until
from tests.benchmarks.products import INSTALLED, Product
from tests.support.certificates import Authority
from tests.support.postgres_server import HOW_TO_GET_IT, OwnServer, find_programs, started

_SECRET = "0123456789abcdef0123456789abcdef"
_HOST = "localhost"
# `up` opens loopback by itself, other processes do not.
_LOOPBACK = {"WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8"}
_SUCCEEDED = "SELECT count(*) FROM attempts WHERE outcome = 'succeeded'"


class Storage(Protocol):
    """A database that a system works on, looked into from outside.

    ``variables`` are what a process must be told of it, ``pids`` its own processes.
    """

    variables: Mapping[str, str]
    pids: Sequence[int]

    @abstractmethod
    async def logged(self) -> int:
        """Return how many succeeded attempts are in the log, counted row by row."""

    @abstractmethod
    async def count(self, query: str) -> int:
        """Return the number that a query finds."""

    @abstractmethod
    async def run(self, statement: str) -> None:
        """Run a statement: for what would take a system hours to make."""


OpenSystem = Callable[..., AbstractAsyncContextManager["System"]]
"""Runs a system on a storage, with options and ``variables``, for the length of a block."""

OpenStorage = Callable[[], AbstractAsyncContextManager[Storage]]
"""Makes a storage of its own for the length of a block."""


class SqliteFile(Storage):
    """An SQLite file; it has no process."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bench.sqlite"
        self.variables = {
            "DB_URI": f"sqlite:///{self.path}",
            "DB_ENCRYPTION_SECRET": _SECRET,
        }
        self.pids: Sequence[int] = ()

    async def logged(self) -> int:
        """Return how many succeeded attempts are in the log."""
        return await self.count(_SUCCEEDED)

    async def count(self, query: str) -> int:
        """Return the number that a query finds."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
            (count,) = connection.execute(query).fetchone()
        return int(count)

    async def run(self, statement: str) -> None:
        """Run a statement."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")  # it is not measured
            connection.execute(statement)


@asynccontextmanager
async def sqlite_file() -> AsyncIterator[SqliteFile]:
    """Give a file in a folder of its own for the length of the block."""
    with tempfile.TemporaryDirectory() as folder:
        yield SqliteFile(Path(folder))


class PostgresDatabase(Storage):
    """A PostgreSQL server of its own, durable: the processes of the server are counted."""

    def __init__(self, server: OwnServer) -> None:
        assert server.process
        self._uri = server.uri
        self.pids = (server.process.pid,)
        self.variables = {"DB_URI": server.uri, "DB_ENCRYPTION_SECRET": _SECRET} | _LOOPBACK

    async def logged(self) -> int:
        """Return how many succeeded attempts are in the log."""
        return await self.count(_SUCCEEDED)

    async def count(self, query: str) -> int:
        """Return the number that a query finds."""
        connection = await asyncpg.connect(self._uri)
        try:
            return int(await connection.fetchval(query))
        finally:
            await connection.close()

    async def run(self, statement: str) -> None:
        """Run a statement."""
        connection = await asyncpg.connect(self._uri)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def written(self) -> tuple[int, int]:
        """Return how large the database is, and how much was written ahead (WAL); in bytes."""
        connection = await asyncpg.connect(self._uri)
        try:
            size = await connection.fetchval("SELECT pg_database_size(current_database())")
            ahead = await connection.fetchval("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
        finally:
            await connection.close()
        return int(size), int(ahead)


@asynccontextmanager
async def postgres_database() -> AsyncIterator[PostgresDatabase]:
    """Run a server for the length of the block, with every setting for durability as it comes."""
    programs = find_programs()
    if programs is None:
        raise SystemExit(HOW_TO_GET_IT)
    running = started(programs, fsync="on", full_page_writes="on")
    # It waits for the server with loops of its own.
    server = await asyncio.to_thread(running.__enter__)
    try:
        yield PostgresDatabase(server)
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


@frozen
class Receiver:
    """A receiver that runs: its URL, what makes a process trust it, and what it has counted."""

    url: str
    trusted_by: Mapping[str, str] = field(factory=dict)

    async def told(self, path: str) -> object:
        """Return what the receiver tells at a path."""
        connector = aiohttp.TCPConnector(ssl=False)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"{self.url}{path}") as response,
        ):
            body: object = await response.json(content_type=None)
            return body

    async def received(self) -> int:
        """Return how many requests have come."""
        told = await self.told("/count")
        assert isinstance(told, dict)
        return int(told["received"])


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """Run a receiver for the length of the block."""
    with tempfile.TemporaryDirectory() as folder:
        async with _receiver_process(Path(folder)) as port:
            yield Receiver(f"http://127.0.0.1:{port}")


@asynccontextmanager
async def tls_receiver() -> AsyncIterator[Receiver]:
    """Run a receiver that speaks TLS, with a certificate of an authority of its own."""
    with tempfile.TemporaryDirectory() as folder:
        authority, trusted = Authority(Path(folder)), Path(folder) / "authority.pem"
        trusted.write_text(authority.certificate)
        authority.server(_HOST)
        certificate = str(Path(folder) / f"{_HOST}.pem")  # its key stands in the same file
        async with _receiver_process(Path(folder), certificate, certificate) as port:
            yield Receiver(f"https://{_HOST}:{port}", {"SSL_CERT_FILE": str(trusted)})


@asynccontextmanager
async def _receiver_process(folder: Path, *tls: str) -> AsyncIterator[str]:
    port = folder / "port"
    async with process(sys.executable, "-m", "tests.benchmarks.receiver", str(port), *tls):
        await until("the receiver listens", is_written(port))
        yield port.read_text()


@frozen
class System:
    """A running system: where its API is, its own processes, and its storage."""

    api: str
    processes: Sequence[int]
    storage: Storage

    @property
    def pids(self) -> Sequence[int]:
        """Every process and server of ours."""
        return (*self.processes, *self.storage.pids)

    async def subscribe(self, urls: Sequence[str], *, is_ordered: bool = False) -> str:
        """Make a new environment with a webhook for each URL; return its id."""
        environment = str(uuid.uuid4())
        async with aiohttp.ClientSession() as session:
            for number, url in enumerate(urls):
                webhook: dict[str, object] = {"name": f"bench {number}", "url": url}
                webhook |= {"events": [TYPE], **({"ordered": True} if is_ordered else {})}
                place = f"{self.api}/environments/{environment}/webhooks"
                async with session.post(place, json=webhook) as response:
                    response.raise_for_status()
        return environment


@asynccontextmanager
async def up(
    storage: Storage,
    *options: str,
    variables: Mapping[str, str] | None = None,
    product: Product = INSTALLED,
) -> AsyncIterator[System]:
    """Run ``notification-management up`` on a storage for the length of the block."""
    ports = {"API_SERVER_PORT": str(free_port()), "OPS_SERVER_PORT": str(free_port())}
    told = {**product.variables, **storage.variables, **ports, **(variables or {})}
    async with process(str(product.command), "up", *options, env=told) as pid:
        await until("the system is ready", is_ready(ports["OPS_SERVER_PORT"]))
        yield System(f"http://127.0.0.1:{ports['API_SERVER_PORT']}/api", (pid,), storage)


def is_written(path: Path) -> Callable[[], Awaitable[bool]]:
    """Return what tells whether a process has written its port to a file."""

    async def holds() -> bool:
        return path.exists() and bool(path.read_text())

    return holds


def is_ready(ops_port: str) -> Callable[[], Awaitable[bool]]:
    """Return what tells whether a process that serves says that it is ready."""
    url = f"http://127.0.0.1:{ops_port}/readyz"

    async def holds() -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                return response.status == HTTPStatus.OK
        except aiohttp.ClientError:
            return False

    return holds
