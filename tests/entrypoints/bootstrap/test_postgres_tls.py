"""PostgreSQL over TLS, as ``DB_URI`` asks for it: a server with a certificate of the tests."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from attrs import frozen

from notification_adapters.clock import SystemClock
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.postgres.driver import fetch
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import StorageUnavailable
from notification_entrypoints.bootstrap.storage import migrate, open_storage
from notification_entrypoints.config.settings import Settings, load_settings
from tests.conftest import require
from tests.support.certificates import Authority
from tests.support.postgres_server import HOW_TO_GET_IT, find_programs, started

_IS_ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@frozen
class Place:
    """A server that speaks TLS as ``localhost``, its CA, and another one."""

    port: int
    authority: Path
    stranger: Path

    def settings(self, host: str, authority: Path) -> Settings:
        """Return what names this server and whom to trust."""
        options = f"sslmode=verify-full&sslrootcert={authority}"
        uri = f"postgresql://postgres@{host}:{self.port}/postgres?{options}"
        return load_settings({"DB_URI": uri, "DB_ENCRYPTION_SECRET": "s" * 32})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Run a server of the test's own."""
    programs = find_programs()
    require(programs, HOW_TO_GET_IT)
    assert programs
    folder = tmp_path_factory.mktemp("tls")
    authority, stranger = _authority(folder / "ours"), _authority(folder / "theirs")
    with started(programs) as server:
        pem = server.folder / "server.pem"
        shutil.copy(authority.parent / "localhost.pem", pem)
        pem.chmod(0o600)
        owner = server.folder.stat()
        os.chown(pem, owner.st_uid, owner.st_gid)
        server.stop(at_once=False)
        server.start(ssl="on", ssl_cert_file=str(pem), ssl_key_file=str(pem))
        yield Place(server.port, authority, stranger)


def _authority(folder: Path) -> Path:
    """Make a CA that has issued a certificate for ``localhost``; return its file."""
    folder.mkdir()
    authority = Authority(folder)
    authority.server("localhost")
    path = folder / "authority.pem"
    path.write_text(authority.certificate)
    return path


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[SqlStorage]:
    clock = SystemClock()
    async with open_storage(settings, clock, IdGenerator(clock)) as storage:
        yield storage


async def test_a_server_that_proves_who_it_is_is_talked_to_encrypted(place: Place) -> None:
    settings = place.settings("localhost", place.authority)
    await migrate(settings)
    async with opened(settings) as storage, storage.database.read_transaction() as connection:
        ((is_encrypted,),) = await fetch(connection, _IS_ENCRYPTED)
        assert is_encrypted
        await storage.ping()


async def test_a_server_with_a_certificate_of_an_unknown_ca_is_refused(place: Place) -> None:
    with pytest.raises(StorageUnavailable, match="TLS is not as it should be"):
        await migrate(place.settings("localhost", place.stranger))


async def test_a_server_that_proves_to_be_another_is_not_talked_to(place: Place) -> None:
    with pytest.raises(StorageUnavailable, match="TLS is not as it should be"):
        await migrate(place.settings("127.0.0.1", place.authority))
