"""Which database the settings mean."""

import asyncio
from pathlib import Path

import pytest

from notification_entrypoints.bootstrap.storage import place_of, server_of
from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from notification_entrypoints.config.settings import Settings, load_settings
from tests.support.postgres_server import PostgresServer

SECRET = {"DB_ENCRYPTION_SECRET": "0123456789abcdef0123456789abcdef"}


def settings(**variables: str) -> Settings:
    return load_settings({**SECRET, **variables})


@pytest.mark.parametrize(
    ("variables", "uri", "place"),
    [
        (
            {},
            "postgresql://postgres:@localhost:5432/notificationmanagement",
            "postgresql://localhost:5432/notificationmanagement",
        ),
        (
            {
                "DB_URI": "db.example.com:6432",
                "DB_AUTH_USER": "me@home",
                "DB_AUTH_PASS": "a/b:c@d",
                "DB_DATABASE": "my data",
            },
            "postgresql://me%40home:a%2Fb%3Ac%40d@db.example.com:6432/my%20data",
            "postgresql://db.example.com:6432/my%20data",
        ),
        (
            {"DB_URI": "postgresql://me:pw@[::1]:5433/n?sslmode=verify-full&sslrootcert=/ca.pem"},
            "postgresql://me:pw@[::1]:5433/n?sslmode=verify-full&sslrootcert=/ca.pem",
            "postgresql://[::1]:5433/n",
        ),
        (
            {"DB_URI": "one:5432,[::2]:5433"},
            "postgresql://postgres:@one:5432,[::2]:5433/notificationmanagement",
            "postgresql://one:5432,[::2]:5433/notificationmanagement",
        ),
        (
            {"DB_URI": "postgresql://one,other/?sslmode=require", "DB_AUTH_PASS": "pw"},
            "postgresql://postgres:pw@one,other/notificationmanagement?sslmode=require",
            "postgresql://one,other/notificationmanagement",
        ),
    ],
)
def test_what_a_uri_does_not_say_comes_from_the_variables(
    variables: dict[str, str], uri: str, place: str
) -> None:
    chosen = settings(**variables)
    assert server_of(chosen).uri == uri
    assert place_of(chosen) == place, "nothing secret is shown"


def test_a_server_is_reached_as_the_settings_say() -> None:
    server = server_of(
        settings(
            DB_DIRECT_URI="postgresql://behind:5432",
            DB_AUTH_PASS="pw",
            DB_SCHEMA="notifications",
            DB_POOL_SIZE="3",
            DB_PREPARED_STATEMENTS="false",
            POD_NAME="pod-7",
        )
    )
    assert server.direct_uri == "postgresql://postgres:pw@behind:5432/notificationmanagement"
    assert (server.schema, server.pool_size) == ("notifications", 3)
    assert (server.prepared_statements, server.application_name) == (
        False,
        "notification-management pod-7",
    )
    assert "pw" not in repr(server)
    plain = server_of(settings())
    assert (plain.direct_uri, plain.schema, plain.prepared_statements) == (None, None, True)


def test_migrate_checks_prints_and_does_on_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DB_URI", f"sqlite:///{tmp_path}/n.sqlite")
    _migrate_step_by_step(monkeypatch, capsys)


async def test_migrate_checks_prints_and_does_on_a_server(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with postgres.database(empty=True) as database:
        monkeypatch.setenv("DB_URI", postgres.database_uri(database))
        await asyncio.to_thread(_migrate_step_by_step, monkeypatch, capsys)


def _migrate_step_by_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DB_ENCRYPTION_SECRET", SECRET["DB_ENCRYPTION_SECRET"])
    assert main(["migrate", "--check"]) == Exit.FAILED
    assert "notification-management migrate" in capsys.readouterr().err
    assert main(["migrate"]) == Exit.OK
    assert capsys.readouterr().out.startswith("Created the schema, version ")
    assert main(["migrate"]) == Exit.OK
    assert capsys.readouterr().out.startswith("Nothing to do: the schema at ")
    assert main(["migrate", "--check"]) == Exit.OK
    assert "fits" in capsys.readouterr().out
    assert main(["migrate", "--sql"]) == Exit.OK
    assert capsys.readouterr().out == ""
    assert main(["migrate", "--check", "--sql"]) == Exit.USAGE


def test_an_unavailable_database_is_reported_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DB_URI", "127.0.0.1:1")
    monkeypatch.setenv("DB_ENCRYPTION_SECRET", SECRET["DB_ENCRYPTION_SECRET"])
    assert main(["migrate"]) == Exit.UNAVAILABLE
    assert capsys.readouterr().err.startswith(
        "Error: The database cannot be reached: connection refused. It is "
    )
