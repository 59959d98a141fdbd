"""What lies on the disk: no secret in clear, and nothing torn by a kill."""

import asyncio
import base64
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from uuid import uuid4

import pytest

from notification_adapters.sql.sqlite import migrate_sqlite
from notification_core.errors import UndecipherableText, WorkerLockTaken
from notification_core.model.signing_key import new_signing_key
from tests.adapters.sql_storages import ENVIRONMENT_ID, database, event, opened
from tests.adapters.sqlite_processes import PER_BATCH
from tests.support.postgres_server import CIPHER, SECRET
from tests.support.samples import a_webhook
from tests.support.sqlite_template import make_sqlite

ROOT = Path(__file__).parents[2]


async def test_no_secret_lies_in_the_file_in_clear(tmp_path: Path) -> None:
    await make_sqlite(database(tmp_path))
    seed, header = os.urandom(32), "Bearer a-very-secret-header-value"
    now = event("e").event.occurred_at
    webhook = a_webhook(
        environment_id=ENVIRONMENT_ID, name="visible-name", custom_headers={"authorization": header}
    )
    async with opened(tmp_path) as storage:
        await storage.webhooks.add(webhook, most=1)
        await storage.signing_keys.add_first(new_signing_key(ENVIRONMENT_ID, now, seed))
        content = _bytes_of(tmp_path)
    assert b"visible-name" in content
    secrets = [header.encode(), SECRET.encode(), seed]
    forms = [base64.b64encode(seed).rstrip(b"="), base64.urlsafe_b64encode(seed).rstrip(b"=")]
    for secret in [*secrets, *forms, *(one.hex().encode() for one in secrets)]:
        assert secret not in content


async def test_a_secret_that_was_moved_to_another_row_is_not_read(tmp_path: Path) -> None:
    await make_sqlite(database(tmp_path))
    now, environment_ids = event("e").event.occurred_at, [uuid4(), uuid4()]
    copy = (
        "UPDATE environment_keys SET private_key = (SELECT max(private_key) FROM environment_keys)"
    )
    async with opened(tmp_path) as storage:
        for one in environment_ids:
            await storage.signing_keys.add_first(new_signing_key(one, now, os.urandom(32)))
        with closing(sqlite3.connect(database(tmp_path))) as connection, connection:
            connection.execute(copy)
        with pytest.raises(UndecipherableText):
            await storage.signing_keys.keys_of(environment_ids)


@asynccontextmanager
async def _process(what: str, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a process that is killed in the end, if it was not before."""
    # The checkout comes last on its path: what is installed is what is tested.
    code = (
        f"import runpy, sys; sys.path.append({str(ROOT)!r});"
        "runpy.run_module('tests.adapters.sqlite_processes', run_name='__main__')"
    )
    command = sys.executable, "-c", code, what, str(folder)
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def _bytes_of(folder: Path) -> bytes:
    """Return all that lies in a folder: the database and its write-ahead log."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


@pytest.mark.parametrize("acknowledged", [1, 5, 25])
@pytest.mark.experiment(24, "a writer killed, and the file looked through")
async def test_a_writer_that_is_killed_leaves_whole_batches_and_a_sound_file(
    tmp_path: Path, acknowledged: int
) -> None:
    await make_sqlite(database(tmp_path))
    async with _process("write", tmp_path) as process:
        told = [await _line(process) for _ in range(acknowledged)]
        process.send_signal(signal.SIGKILL)
        await process.wait()
    with closing(sqlite3.connect(database(tmp_path))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        batches = dict(
            connection.execute(
                """
                SELECT substr(e.event_id, 1, instr(e.event_id, '-') - 1), count(d.delivery_id)
                FROM events AS e LEFT JOIN deliveries AS d ON d.event_id = e.event_id GROUP BY 1
                """
            ).fetchall()
        )
    assert set(told) <= batches.keys(), "what was acknowledged is there"
    assert set(batches.values()) == {PER_BATCH}, "and nothing by halves"
    async with opened(tmp_path) as storage:
        await storage.ping()


async def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    await make_sqlite(database(tmp_path))
    async with opened(tmp_path) as storage, _process("work", tmp_path) as process:
        assert await _line(process) == "locked"
        with pytest.raises(WorkerLockTaken, match="already dispatches"):
            await storage.worker_lock.acquire(uuid4())
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await storage.worker_lock.acquire(uuid4())


async def test_a_lock_is_not_inherited_by_the_programs_that_its_process_starts(
    tmp_path: Path,
) -> None:
    await make_sqlite(database(tmp_path))
    async with opened(tmp_path) as storage, opened(tmp_path) as rival:
        await storage.worker_lock.acquire(uuid4())
        child = await asyncio.create_subprocess_exec("sleep", "60", close_fds=False)
        try:
            await storage.worker_lock.release()
            await rival.worker_lock.acquire(uuid4())
        finally:
            child.kill()
            await child.wait()


async def test_a_lock_is_given_back_when_the_storage_is_closed(tmp_path: Path) -> None:
    await make_sqlite(database(tmp_path))
    async with opened(tmp_path) as storage:
        async with opened(tmp_path) as rival:
            await rival.worker_lock.acquire(uuid4())
        await storage.worker_lock.acquire(uuid4())


def _modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def _open_to_everybody(folder: Path) -> None:
    for path in folder.iterdir():
        path.chmod(0o644)


async def test_only_the_owner_may_read_the_files_of_a_new_database(tmp_path: Path) -> None:
    """A umask of 022 is usual; SQLite alone makes files that everybody may read."""
    await migrate_sqlite(database(tmp_path), CIPHER)
    async with opened(tmp_path) as storage:
        await storage.worker_lock.acquire(uuid4())
        modes = _modes(tmp_path)
    name = database(tmp_path).name
    assert modes == {f"{name}{suffix}": 0o600 for suffix in ("", "-wal", "-shm", ".lock")}


async def test_the_files_of_an_older_version_are_closed_to_others(tmp_path: Path) -> None:
    await make_sqlite(database(tmp_path))
    async with opened(tmp_path):  # leaves a write-ahead log while it is open
        _open_to_everybody(tmp_path)
        async with opened(tmp_path):
            assert set(_modes(tmp_path).values()) == {0o600}
