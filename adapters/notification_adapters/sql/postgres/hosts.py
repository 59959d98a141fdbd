"""Connecting to the first of a database's hosts that can be used."""

import socket
from typing import Final, TypeAlias

import asyncpg

from notification_adapters.postgres_uri import KeepAlive, parse_postgres_uri

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
"""asyncpg's own connection; its class is generic for type checkers only."""

_TRY_THE_NEXT: Final = (
    OSError,  # a timeout included
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # it is starting, or being shut down
    asyncpg.TargetServerAttributeNotMatched,
)


class Hosts:
    """The hosts of a URI; the one that the last connection was opened to is tried first.

    Each has a bound of its own (``connect_timeout``). The driver has one for all of them, so that
    a first host that is silent would use it up and no other would be tried.
    """

    def __init__(self, uri: str) -> None:
        self._uri = parse_postgres_uri(uri)
        self._order = list(self._uri.driver_uris())

    async def connect(
        self,
        *,
        application_name: str,
        command_timeout: float | None,
        server_settings: dict[str, str],
        statement_cache_size: int,
    ) -> Connection:
        """Open a connection; raise what the last host raised if none can be used."""
        given = self._uri.options.get("application_name", application_name)
        failed: Exception | None = None
        for uri in tuple(self._order):
            self._move(uri, len(self._order) - 1)  # also if the caller gives up before it answers
            try:
                connection = await asyncpg.connect(
                    uri,
                    timeout=self._uri.connect_seconds,
                    command_timeout=command_timeout,
                    server_settings={"application_name": given, **server_settings},
                    statement_cache_size=statement_cache_size,
                )
            except _TRY_THE_NEXT as error:
                failed = error
            else:
                self._move(uri, 0)
                _keep_alive(connection, self._uri.keep_alive)
                return connection
        assert failed is not None  # noqa: S101 - for the type checker: there is a host
        raise failed

    def _move(self, uri: str, place: int) -> None:
        self._order.remove(uri)
        self._order.insert(place, uri)


def _keep_alive(connection: Connection, chosen: KeepAlive) -> None:
    """Have the system ask now and then whether the other side is still there."""
    transport = getattr(connection, "_transport")  # noqa: B009 - asyncpg shows it to nobody
    raw = transport.get_extra_info("socket")
    if raw is None or raw.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(chosen.on))
    for name, value in (
        ("TCP_KEEPIDLE", chosen.idle),
        ("TCP_KEEPINTVL", chosen.interval),
        ("TCP_KEEPCNT", chosen.count),
        ("TCP_USER_TIMEOUT", chosen.user_timeout),
    ):
        option = getattr(socket, name, None)  # Linux' names
        if option is not None and value:
            raw.setsockopt(socket.IPPROTO_TCP, option, value)
