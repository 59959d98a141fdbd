"""``copy``: what it says when it is done, and of a URI that is not of its kind."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from notification_adapters.sql.sqlite import migrate_sqlite
from notification_core.encryption.cipher import Cipher
from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from notification_entrypoints.config.databases import FILE_NAME
from notification_entrypoints.config.settings import variables
from tests.support.output import Output
from tests.support.postgres_server import SECRET, PostgresServer


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Give the database of a folder of `up --data`, with its secret beside it."""
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / FILE_NAME
    asyncio.run(migrate_sqlite(path, Cipher(SECRET)))
    path.with_name(f"{FILE_NAME}.secret").write_text(SECRET)
    return f"sqlite:///{path}"


@pytest.fixture
def target(postgres: PostgresServer) -> Iterator[str]:
    """Give an empty PostgreSQL database."""
    opening = postgres.database(empty=True)
    with asyncio.Runner() as runner:
        yield postgres.database_uri(runner.run(opening.__aenter__()))
        runner.run(opening.__aexit__(None, None, None))


def test_it_tells_that_the_copy_can_be_served(source: str, target: str, capsys: Output) -> None:
    assert main(["copy", "--from", source, "--to", target]) == Exit.OK
    told = capsys.readouterr().out
    assert "webhooks" in told
    assert "0 rows copied and compared: the database can be served." in told


def test_without_to_it_copies_to_the_database_at_db_uri(
    source: str, target: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_URI", target)
    assert main(["copy", "--from", source]) == Exit.OK
    assert "can be served" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("postgresql://a/b", "postgresql://a/b", "--from must be sqlite:///FILE."),
        ("sqlite:///a", "sqlite:///b", "--to must be a PostgreSQL database"),
        ("sqlite:///missing/a", "postgresql://a/b", "DB_ENCRYPTION_SECRET"),
    ],
)
def test_what_cannot_be_copied_is_refused(
    source: str, target: str, said: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    assert main(["copy", "--from", source, "--to", target]) != Exit.OK
    assert said in capsys.readouterr().err
