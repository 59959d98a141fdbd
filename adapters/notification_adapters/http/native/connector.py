"""Opening connections: a way to the origin, and TLS where the URL asks for it."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from notification_adapters.http import failures
from notification_adapters.http.destination_guard import DestinationDenied, system_trust
from notification_adapters.http.native.connection import HttpConnection, HttpOrigin
from notification_adapters.http.native.routes import Route
from notification_adapters.http.phase_timer import PhaseTimer
from notification_adapters.http.resolver import LookupFailed
from notification_adapters.http.shortages import raising_shortages
from notification_core.ports.sender import Phase

# For an orderly end of TLS, which nobody waits for.
_FAREWELL = 1.0


class Connector:
    """Opens connections; without an ``ssl_context``, TLS trusts the system's certificates."""

    def __init__(
        self, route: Route, ssl_context: ssl.SSLContext | None, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._route = route
        self._ssl_context = ssl_context
        self._loop = loop

    async def connect(self, origin: HttpOrigin, timer: PhaseTimer) -> HttpConnection:
        """Return a new connection, the opening of which is measured.

        Raises :class:`SendingFailed`, and :class:`ResourceShort` if this host lacks something.
        """
        with _translated_errors(), raising_shortages():
            is_encrypted = origin.scheme == "https"
            if is_encrypted and self._ssl_context is None:
                # The system's certificates are loaded once they are needed: that takes as long as
                # some hundred requests, and the start of a process would wait for it.
                self._ssl_context = await asyncio.to_thread(system_trust)
            connected = await self._route.open(origin, timer)
            connection = HttpConnection(origin, self._loop, connected)
            if not is_encrypted:
                await self._loop.create_connection(lambda: connection, sock=connected)
                return connection
            with timer.timing(Phase.TLS):
                await self._loop.create_connection(
                    lambda: connection,
                    sock=connected,
                    ssl=self._ssl_context,
                    server_hostname=origin.host.removesuffix("."),
                    ssl_shutdown_timeout=_FAREWELL,
                )
            return connection


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Raise what went wrong as the port's :class:`SendingFailed`."""
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
