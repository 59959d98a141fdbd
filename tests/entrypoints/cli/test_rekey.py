"""``rekey``: what it says on a database that `up` keeps, on a terminal and in a log."""

import asyncio
import os
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa

from notification_adapters.clock import SystemClock
from notification_adapters.sql.sqlite import migrate_sqlite, open_sqlite
from notification_adapters.sql.tables import environment_keys
from notification_core.concurrency.ids import IdGenerator
from notification_core.encryption.cipher import Cipher
from notification_core.model.signing_key import new_signing_key
from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from notification_entrypoints.config.databases import FILE_NAME
from notification_entrypoints.config.settings import variables
from tests.support.output import Output

FORMER, SECRET = "f" * 32, "s" * 32


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give a folder of `up --data` with two signing keys, whose secret has just been replaced."""
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    asyncio.run(_prepared(tmp_path / FILE_NAME))
    (tmp_path / f"{FILE_NAME}.secret").write_text(SECRET)
    monkeypatch.setenv("DB_ENCRYPTION_PREVIOUS_SECRETS", FORMER)
    return tmp_path


async def _prepared(path: Path) -> None:
    clock, cipher = SystemClock(), Cipher(FORMER)
    await migrate_sqlite(path, cipher)
    async with open_sqlite(path, cipher, clock, IdGenerator(clock)) as storage:
        for number in (1, 2):
            key = new_signing_key(UUID(int=number), clock.now(), os.urandom(32), 1)
            await storage.signing_keys.add_first(key)


async def _put_in_every_key(path: Path, text: str) -> None:
    clock = SystemClock()
    async with (
        open_sqlite(path, Cipher(FORMER), clock, IdGenerator(clock)) as storage,
        storage.database.write_transaction() as connection,
    ):
        await connection.execute(sa.update(environment_keys).values(private_key=text))


def test_it_shows_its_progress_and_that_the_previous_secret_may_go(
    folder: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["rekey", "--data", str(folder)]) == Exit.OK
    said = capsys.readouterr()
    assert "2 of 2 re-encrypted" in said.err
    assert "2 secrets re-encrypted" in said.out
    monkeypatch.delenv("DB_ENCRYPTION_PREVIOUS_SECRETS")
    assert main(["rekey", "--data", str(folder)]) == Exit.OK
    assert "0 secrets" in capsys.readouterr().out


def test_without_the_previous_secret_it_is_refused_by_name(
    folder: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DB_ENCRYPTION_PREVIOUS_SECRETS")
    assert main(["rekey", "--data", str(folder)]) == Exit.FAILED
    said = capsys.readouterr().err
    assert "DB_ENCRYPTION_PREVIOUS_SECRETS" in said
    assert SECRET not in said


def test_what_no_secret_opens_is_named_by_its_place(folder: Path, capsys: Output) -> None:
    foreign = Cipher("x" * 32).encrypt(b"x", [""] * 4)
    asyncio.run(_put_in_every_key(folder / FILE_NAME, foreign))
    assert main(["rekey", "--data", str(folder)]) == Exit.FAILED
    said = capsys.readouterr().err
    assert "2 secrets cannot be read" in said
    assert f"environment_keys private_key {UUID(int=1)}" in said
