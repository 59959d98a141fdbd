"""Opening connections: a way to the origin, and TLS where the URL asks for it."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from notification_adapters.http import failures
from notification_adapters.http.guard import DestinationDenied
from notification_adapters.http.native.connection import Connection
from notification_adapters.http.native.phases import Stopwatch
from notification_adapters.http.native.requests import Origin
from notification_adapters.http.native.routes import Route
from notification_adapters.http.resolver import LookupFailed
from notification_core.ports.sender import Phase

# For an orderly end of TLS, which nobody waits for.
_FAREWELL = 1.0


class Dialer:
    """Opens connections."""

    def __init__(self, route: Route, ssl_context: ssl.SSLContext, stopwatch: Stopwatch) -> None:
        self._route = route
        self._ssl_context = ssl_context
        self._loop = stopwatch.loop
        self._stopwatch = stopwatch

    async def connect(self, origin: Origin) -> Connection:
        """Return a new connection; raise :class:`SendingFailed` where none can be had."""
        with _in_words():
            return await self._over(await self._route.open(origin), origin)

    async def _over(self, connected: socket.socket, origin: Origin) -> Connection:
        connection = Connection(origin, self._loop, connected)
        if origin.scheme == "https":
            with self._stopwatch.timing(Phase.TLS):
                await self._loop.create_connection(
                    lambda: connection,
                    sock=connected,
                    ssl=self._ssl_context,
                    server_hostname=origin.host.removesuffix("."),
                    ssl_shutdown_timeout=_FAREWELL,
                )
        else:
            await self._loop.create_connection(lambda: connection, sock=connected)
        return connection


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
