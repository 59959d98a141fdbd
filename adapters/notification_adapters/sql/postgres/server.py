"""Which server, and opening connections to it: to the first of its hosts that can be used."""

import socket
from typing import Final, TypeAlias

import asyncpg
from attrs import Factory, field, frozen

from notification_adapters.postgres_uri import KeepAlive, parse_postgres_uri

PostgresConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
"""asyncpg's own connection; its class is generic for type checkers only."""

_TRY_THE_NEXT: Final = (
    OSError,  # a timeout included
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # it is starting, or being shut down
    asyncpg.TargetServerAttributeNotMatched,
)

STATEMENT_SECONDS: Final = 10
"""A statement that takes longer is given up by the server: none of ours should take one second."""

_RESPONSE_SECONDS: Final = STATEMENT_SECONDS + 2
"""A response that is not there by then will not come: something on the way has swallowed it."""

_IDLE_IN_TRANSACTION_SECONDS: Final = 10
"""Whoever has begun a transaction and is not heard of any more holds up others for so long."""

_CACHED: Final = 200
"""Statements that a connection keeps prepared: more than there are."""

_SETTINGS: Final = {
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{_IDLE_IN_TRANSACTION_SECONDS}s",
    # All our statements find a bounded number of rows by an index. On young tables, whose
    # statistics say nothing yet, the planner thinks otherwise, and stays with it for long where a
    # statement is prepared: sorting or hashing a whole queue. So it is told.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "default_transaction_isolation": "read committed",
    # What counts is how many rows are read, not where they lie: for fewer pages the planner would
    # read the log of all webhooks by its time, and skip others' rows to find one webhook's.
    "seq_page_cost": "0",
    "random_page_cost": "0",
}


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
    ) -> PostgresConnection:
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


@frozen
class Server:
    """A PostgreSQL database, as URIs that may name several hosts and hold libpq's options.

    ``direct_uri`` goes past a pooler that ``uri`` may name; such a pooler keeps no session, so
    that with ``prepared_statements`` off nothing is left on a connection between transactions.
    A response is waited for ``response_seconds``, or for as long as it takes.
    """

    uri: str = field(repr=False)
    direct_uri: str | None = field(default=None, repr=False)
    schema: str | None = None
    pool_size: int = 10
    prepared_statements: bool = True
    application_name: str = "notification-management"
    response_seconds: float | None = _RESPONSE_SECONDS
    _hosts: Hosts = field(
        init=False,
        eq=False,
        repr=False,
        default=Factory(lambda self: Hosts(self.uri), takes_self=True),
    )
    _direct_hosts: Hosts = field(
        init=False,
        eq=False,
        repr=False,
        default=Factory(
            lambda self: Hosts(self.direct_uri) if self.direct_uri else self._hosts,
            takes_self=True,
        ),
    )

    @property
    def begin_prefix(self) -> str:
        """Return what each transaction sets for itself: nothing if the session keeps it."""
        if self.prepared_statements:
            return ""
        settings = "".join(f"; SET LOCAL {name} = '{value}'" for name, value in _SETTINGS.items())
        path = self.search_path
        return settings if path is None else f"{settings}; SET LOCAL search_path = {path}"

    @property
    def search_path(self) -> str | None:
        """Return where tables are found; None where that is left to the server."""
        if self.schema is None:
            return None
        return '"{}"'.format(self.schema.replace('"', '""'))

    async def connect(self) -> PostgresConnection:
        """Open a connection for transactions; one to a pooler is in its first, to be ended."""
        if self.prepared_statements:
            return await self._connect(self._hosts, self._session_settings(), _CACHED)
        connection = await self._connect(self._hosts, {}, 0)
        # What SQLAlchemy asks of a new connection takes several trips: a pooler would spread them.
        await connection.execute("BEGIN")
        return connection

    async def connect_directly(self) -> PostgresConnection:
        """Open a connection whose session is ours alone, past any pooler."""
        return await self._connect(self._direct_hosts, self._session_settings(), _CACHED)

    def _session_settings(self) -> dict[str, str]:
        path = self.search_path
        return _SETTINGS if path is None else {**_SETTINGS, "search_path": path}

    async def _connect(
        self, hosts: Hosts, settings: dict[str, str], cached_statements: int
    ) -> PostgresConnection:
        return await hosts.connect(
            application_name=self.application_name,
            command_timeout=self.response_seconds,
            server_settings=settings,
            statement_cache_size=cached_statements,
        )


def _keep_alive(connection: PostgresConnection, chosen: KeepAlive) -> None:
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
