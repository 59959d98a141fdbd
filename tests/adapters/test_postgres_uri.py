"""URIs of PostgreSQL: each option that libpq documents is honoured or refused by its name."""

import socket
from urllib.parse import quote

import pytest

from notification_adapters.postgres_uri import parse_postgres_uri
from notification_adapters.sql.postgres import Server
from notification_adapters.sql.postgres.errors import map_errors
from notification_core.errors import StorageUnavailable
from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from tests.support.postgres_server import PostgresServer

# PostgreSQL 18, section 34.1.2, each with a value that is usual.
HONOURED = {
    "application_name": "billing",
    "channel_binding": "prefer",
    "client_encoding": "UTF8",
    "connect_timeout": "10",
    "dbname": "postgres",
    "fallback_application_name": "other",
    "gssdelegation": "0",
    "gssencmode": "prefer",
    "gsslib": "gssapi",
    "host": "127.0.0.1",
    "keepalives": "1",
    "keepalives_count": "9",
    "keepalives_idle": "30",
    "keepalives_interval": "7",
    "krbsrvname": "postgres",
    "load_balance_hosts": "disable",
    "max_protocol_version": "3.0",
    "min_protocol_version": "3.0",
    "options": "-c lock_timeout=3s",
    "passfile": "/nowhere",
    "password": "pw",
    "ssl_max_protocol_version": "TLSv1.3",
    "ssl_min_protocol_version": "TLSv1.2",
    "sslcertmode": "allow",
    "sslcompression": "0",
    "sslmode": "prefer",
    "sslnegotiation": "postgres",
    "sslpassword": "pw",
    "sslsni": "1",
    "target_session_attrs": "read-write",
    "tcp_user_timeout": "8000",
    "user": "postgres",
}
REFUSED = {
    "channel_binding": "require",
    "client_encoding": "LATIN1",
    "connect_timeout": "0",
    "gssdelegation": "1",
    "gssencmode": "require",
    "hostaddr": "127.0.0.1",
    "keepalives_idle": "soon",
    "load_balance_hosts": "random",
    "max_protocol_version": "3.2",
    "min_protocol_version": "3.2",
    "oauth_client_id": "x",
    "oauth_client_secret": "x",
    "oauth_issuer": "x",
    "oauth_scope": "x",
    "port": "0",
    "replication": "database",
    "require_auth": "scram-sha-256",
    "requirepeer": "postgres",
    "requiressl": "1",
    "scram_client_key": "x",
    "scram_server_key": "x",
    "service": "x",
    "servicefile": "/x",
    "sslcertmode": "require",
    "sslcompression": "1",
    "sslcrldir": "/x",
    "sslkeylogfile": "/x",
    "sslmode": "on",
    "sslrootcert": "system",
    "sslsni": "0",
    "target_session_attrs": "standby",
    "statement_timeout": "5s",
}


async def test_each_option_that_is_accepted_lets_a_server_be_used(
    postgres: PostgresServer,
) -> None:
    for name, value in HONOURED.items():
        connection = await Server(f"{postgres.uri}?{name}={quote(value)}").connect()
        assert await connection.fetchval("SELECT 1") == 1, name
        await connection.close()


async def test_what_the_options_ask_for_takes_effect(postgres: PostgresServer) -> None:
    port = parse_postgres_uri(postgres.uri).hosts[0].rpartition(":")[2]
    query = "&".join(f"{name}={quote(value)}" for name, value in HONOURED.items())
    connection = await Server(f"postgresql:///?{query}&port={port}").connect()
    try:
        shown = [
            await connection.fetchval(f"SHOW {name}")
            for name in ("application_name", "lock_timeout", "statement_timeout")
        ]
        assert shown == ["billing", "3s", "10s"], "with ours beside them"
        raw = getattr(connection, "_transport").get_extra_info("socket")  # noqa: B009 - asyncpg shows it to nobody
        assert [
            raw.getsockopt(socket.IPPROTO_TCP, option)
            for option in (
                *(socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL),
                *(socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT),
            )
        ] == [30, 7, 9, 8000]
    finally:
        await connection.close()


async def test_a_socket_is_not_kept_alive_if_the_uri_says_so(postgres: PostgresServer) -> None:
    connection = await Server(f"{postgres.uri}?keepalives=0").connect()
    try:
        raw = getattr(connection, "_transport").get_extra_info("socket")  # noqa: B009 - asyncpg shows it to nobody
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
    finally:
        await connection.close()


@pytest.mark.parametrize(("name", "value"), REFUSED.items())
def test_what_is_not_honoured_is_refused_by_its_name(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("DB_URI", "DB_DIRECT_URI"):
        monkeypatch.setenv("DB_ENCRYPTION_SECRET", "0123456789abcdef0123456789abcdef")
        monkeypatch.setenv("DB_URI", "localhost:5432")
        monkeypatch.setenv(variable, f"postgresql://me:hunter2@127.0.0.1:1/n?{name}={value}")
        assert main(["migrate"]) == Exit.SETTINGS
        told = capsys.readouterr().err
        assert name in told
        assert variable in told
        assert "hunter2" not in told


@pytest.mark.parametrize(
    ("uri", "hosts"),
    [
        ("postgresql://a,b:1,[::1]:2,[::2]/n", ("a", "b:1", "[::1]:2", "[::2]")),
        ("postgresql:///n?host=a,b&port=1,2", ("a:1", "b:2")),
        ("postgresql://a:7,b:8/n?port=9", ("a:9", "b:9")),
        ("postgresql:///n?host=/run/pg,::1", ("%2Frun%2Fpg", "[::1]")),
        ("postgresql://%2Frun%2Fpg:5433/n", ("%2Frun%2Fpg:5433",)),
        ("postgresql:///n", ("",)),
    ],
)
def test_hosts_are_read_wherever_they_stand(uri: str, hosts: tuple[str, ...]) -> None:
    assert parse_postgres_uri(uri).hosts == hosts


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://a:x/n",
        "postgresql://a:70000/n",
        "postgresql://a,,b/n",
        "postgresql://a,b/n?port=1,2,3",
        "postgresql://[::1/n",
        "postgresql://a/n?sslmode",
        "mysql://a/n",
    ],
)
def test_a_uri_that_cannot_be_read_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_postgres_uri(uri)


def test_a_secret_is_read_as_it_was_written() -> None:
    uri = parse_postgres_uri("postgresql://m%40e:p@s%3As%2F#@host/n?ssl=true")
    assert (uri.user, uri.password, uri.options) == ("m@e", "p@s:s/#", {"sslmode": "require"})
    again = parse_postgres_uri(str(uri))
    assert again == uri
    assert "p@s" not in repr(uri)


async def test_a_server_that_takes_no_writes_is_said_to_take_none(
    postgres: PostgresServer,
) -> None:
    read_only = quote("-c default_transaction_read_only=on")
    with pytest.raises(StorageUnavailable, match="accepts writes"), map_errors():
        await Server(
            f"{postgres.uri}?target_session_attrs=read-write&options={read_only}"
        ).connect()
