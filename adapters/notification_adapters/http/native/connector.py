"""Opening connections: a way to the origin, and TLS where the URL asks for it."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from notification_adapters.http import failures
from notification_adapters.http.destination_guard import DestinationDenied
from notification_adapters.http.native.connection import Connection
from notification_adapters.http.native.phase_timer import Stopwatch
from notification_adapters.http.native.request import Origin
from notification_adapters.http.native.routes import Route
from notification_adapters.http.resolver import LookupFailed
from notification_adapters.http.shortages import told_apart
from notification_adapters.http.trust import system_trust
from notification_core.ports.sender import Phase

# For an orderly end of TLS, which nobody waits for.
_FAREWELL = 1.0


class Dialer:
    """Opens connections; without an ``ssl_context``, TLS trusts the system's certificates."""

    def __init__(
        self, route: Route, ssl_context: ssl.SSLContext | None, stopwatch: Stopwatch
    ) -> None:
        self._route = route
        self._ssl_context = ssl_context
        self._loop = stopwatch.loop
        self._stopwatch = stopwatch

    async def connect(self, origin: Origin) -> Connection:
        """Return a new connection.

        Raises :class:`SendingFailed`, and :class:`ResourceShort` if this machine lacks something.
        """
        with _in_words(), told_apart():
            trust = await self._trust() if origin.scheme == "https" else None
            return await self._over(await self._route.open(origin), origin, trust)

    async def _over(
        self, connected: socket.socket, origin: Origin, trust: ssl.SSLContext | None
    ) -> Connection:
        connection = Connection(origin, self._loop, connected)
        if trust is not None:
            with self._stopwatch.timing(Phase.TLS):
                await self._loop.create_connection(
                    lambda: connection,
                    sock=connected,
                    ssl=trust,
                    server_hostname=origin.host.removesuffix("."),
                    ssl_shutdown_timeout=_FAREWELL,
                )
        else:
            await self._loop.create_connection(lambda: connection, sock=connected)
        return connection

    async def _trust(self) -> ssl.SSLContext:
        """Return the TLS settings: the system's certificates are loaded once they are needed.

        That takes as long as some hundred requests, and the start of a process would wait for it.
        """
        if self._ssl_context is None:
            self._ssl_context = await asyncio.to_thread(system_trust)
        return self._ssl_context


@contextmanager
def _in_words() -> Iterator[None]:
    """Say what went wrong in the port's way."""
    try:
        yield
    except DestinationDenied as error:
        raise failures.refused(error) from error
    except LookupFailed as error:
        raise failures.not_looked_up(error) from error
    except ssl.SSLError as error:
        raise failures.tls_failed(error) from error
    except OSError as error:
        raise failures.not_connected(error) from error
