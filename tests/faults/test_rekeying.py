"""Experiment 32: ``rekey`` is killed midway while others use the storage, and goes on."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa

from notification_adapters.clock import SystemClock
from notification_adapters.sql import SqlStorage
from notification_adapters.sql.tables import environment_keys, place_of
from notification_core.concurrency.ids import IdGenerator
from notification_core.encryption.cipher import Cipher
from notification_core.errors import StorageUnavailable, WrongEncryptionSecret
from notification_core.model.signing_key import SigningKey, new_signing_key
from notification_entrypoints.bootstrap.storage import migrate, open_storage
from notification_entrypoints.config.settings import Settings, load_settings
from tests.faults.stage import COMMAND
from tests.support.postgres_server import PostgresServer

FORMER, SECRET = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
ENVIRONMENTS = 4_000
READ_AT_ONCE = 20


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[SqlStorage]:
    clock = SystemClock()
    async with open_storage(settings, clock, IdGenerator(clock)) as storage:
        yield storage


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.long)])
async def uri(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """Give a database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/n.sqlite"
        return
    postgres = request.getfixturevalue("postgres")
    assert isinstance(postgres, PostgresServer)
    async with postgres.database(empty=True) as database:
        yield postgres.database_uri(database)


@pytest.mark.experiment(32, "a new storage secret, killed midway")
async def test_killed_midway_it_goes_on_and_nobody_who_has_both_secrets_notices(uri: str) -> None:
    of = {"DB_URI": uri, "DB_ENCRYPTION_SECRET": FORMER}
    both = {**of, "DB_ENCRYPTION_SECRET": SECRET, "DB_ENCRYPTION_PREVIOUS_SECRETS": FORMER}
    await migrate(load_settings(of))
    async with opened(load_settings(of)) as storage:
        keys = await filled(storage)
    async with opened(load_settings(both)) as storage:
        reading = asyncio.create_task(read_again_and_again(storage, keys))
        await kill_midway(both)
        left = await storage.encrypted_columns.outdated()
        assert 0 < left < ENVIRONMENTS
        code, said = await rekey(both)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert reading.cancelled(), reading.exception()
    assert (code, f"{left:,} secrets re-encrypted" in said) == (0, True), said
    async with opened(load_settings({**of, "DB_ENCRYPTION_SECRET": SECRET})) as storage:
        assert await storage.encrypted_columns.outdated() == 0
        assert {key.seed for key in await all_keys(storage, keys)} == {key.seed for key in keys}
    with pytest.raises(WrongEncryptionSecret, match="DB_ENCRYPTION_PREVIOUS_SECRETS"):
        async with opened(load_settings(of)):
            pass


async def filled(storage: SqlStorage) -> Sequence[SigningKey]:
    """Store a key for each of many environments at once."""
    cipher, now = Cipher(FORMER), SystemClock().now()
    keys = [
        new_signing_key(UUID(int=number), now, os.urandom(32), 1) for number in range(ENVIRONMENTS)
    ]
    column = environment_keys.c.private_key
    rows = [
        {
            "key_id": key.key_id,
            "environment_id": key.environment_id,
            "number": 1,
            "private_key": cipher.encrypt(
                key.seed, place_of(column, key.environment_id, key.key_id)
            ),
            "public_key": key.public_key,
            "created_at": now,
            "not_before": now,
        }
        for key in keys
    ]
    async with storage.database.write_transaction() as connection:
        await connection.execute(sa.insert(environment_keys), rows)
    return keys


async def all_keys(storage: SqlStorage, keys: Sequence[SigningKey]) -> Sequence[SigningKey]:
    of = [key.environment_id for key in keys]
    parts = [await storage.signing_keys.keys_of(of[at : at + 500]) for at in range(0, len(of), 500)]
    return [key for part in parts for key in part]


async def read_again_and_again(storage: SqlStorage, keys: Sequence[SigningKey]) -> None:
    """Read some keys after others until cancelled; a storage that is busy is no failure."""
    for start in cycle(range(0, len(keys), READ_AT_ONCE)):
        some = keys[start : start + READ_AT_ONCE]
        with suppress(StorageUnavailable):
            read = await all_keys(storage, some)
            assert {key.seed for key in read} == {key.seed for key in some}
        await asyncio.sleep(0.005)  # leaves the CPU to the one that is to be killed


async def started(environ: dict[str, str]) -> Process:
    quiet = {"PATH": os.environ["PATH"], **environ}
    return await asyncio.create_subprocess_exec(
        COMMAND, "rekey", stdout=PIPE, stderr=PIPE, env=quiet
    )


async def kill_midway(environ: dict[str, str]) -> None:
    """Kill it once it has told of its first batch."""
    process = await started(environ)
    assert process.stderr
    assert b"re-encrypted" in await process.stderr.readline()
    process.send_signal(signal.SIGKILL)
    await process.communicate()


async def rekey(environ: dict[str, str]) -> tuple[int, str]:
    process = await started(environ)
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, (out + err).decode()
