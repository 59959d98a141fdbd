"""Which server, and how a connection to it is opened."""

import socket
from typing import Final, TypeAlias

import asyncpg
from attrs import field, frozen

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
"""asyncpg's own connection; its class is generic for type checkers only."""

CONNECT_SECONDS: Final = 5.0
STATEMENT_SECONDS: Final = 10
"""A statement that takes longer is given up by the server: none of ours should take one second."""

_ANSWER_SECONDS: Final = STATEMENT_SECONDS + 2
"""An answer that is not there by then will not come: something on the way has swallowed it."""

_IDLE_IN_TRANSACTION_SECONDS: Final = 10
"""Whoever has begun a transaction and is not heard of any more holds up others for so long."""

_CACHED: Final = 200
"""Statements that a connection keeps prepared: more than there are."""

_KEEPALIVES: Final = (
    ("TCP_KEEPIDLE", 5),
    ("TCP_KEEPINTVL", 2),
    ("TCP_KEEPCNT", 3),
    ("TCP_USER_TIMEOUT", 10_000),
)
"""A server that is gone without a word is noticed within about ten seconds (Linux' names)."""

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
    # read the log of all webhooks by its time, and pass over others' rows to find one webhook's.
    "seq_page_cost": "0",
    "random_page_cost": "0",
}


@frozen
class Server:
    """A PostgreSQL database, as URIs that may hold a password and the options of TLS.

    ``direct_uri`` goes past a pooler that ``uri`` may name; such a pooler keeps no session, so
    that with ``prepared_statements`` off nothing is left on a connection between transactions.
    An answer is waited for ``answer_seconds``, or for as long as it takes.
    """

    uri: str = field(repr=False)
    direct_uri: str | None = field(default=None, repr=False)
    schema: str | None = None
    pool_size: int = 10
    prepared_statements: bool = True
    application_name: str = "notification-management"
    answer_seconds: float | None = _ANSWER_SECONDS

    @property
    def begin_prefix(self) -> str:
        """Return what each transaction sets for itself: nothing where the session keeps it."""
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

    async def connect(self) -> Connection:
        """Open a connection for transactions; one to a pooler is in its first, to be ended."""
        if self.prepared_statements:
            return await self._connect(self.uri, self._kept(), _CACHED)
        connection = await self._connect(self.uri, {}, 0)
        # What SQLAlchemy asks of a new connection takes several trips: a pooler would spread them.
        await connection.execute("BEGIN")
        return connection

    async def connect_directly(self) -> Connection:
        """Open a connection whose session is ours alone, past any pooler."""
        return await self._connect(self.direct_uri or self.uri, self._kept(), _CACHED)

    def _kept(self) -> dict[str, str]:
        path = self.search_path
        return _SETTINGS if path is None else {**_SETTINGS, "search_path": path}

    async def _connect(
        self, uri: str, settings: dict[str, str], cached_statements: int
    ) -> Connection:
        connection = await asyncpg.connect(
            uri,
            timeout=CONNECT_SECONDS,
            command_timeout=self.answer_seconds,
            server_settings={"application_name": self.application_name, **settings},
            statement_cache_size=cached_statements,
        )
        _keep_alive(connection)
        return connection


def _keep_alive(connection: Connection) -> None:
    """Have the system ask now and then whether the other side is still there."""
    transport = getattr(connection, "_transport")  # noqa: B009 - asyncpg shows it to nobody
    raw = transport.get_extra_info("socket")
    if raw is None or raw.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVES:
        if (option := getattr(socket, name, None)) is not None:
            raw.setsockopt(socket.IPPROTO_TCP, option, value)
