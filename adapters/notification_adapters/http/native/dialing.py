"""Opening connections: look-up, connect and TLS, to where the policy allows."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from aiohappyeyeballs import AddrInfoType, start_connection

from notification_adapters.http import failures
from notification_adapters.http.guard import DestinationDenied, judging_sockets
from notification_adapters.http.native.connection import Connection
from notification_adapters.http.native.requests import Origin
from notification_adapters.http.resolver import JudgingResolver, LookupFailed
from notification_core.destinations import DestinationPolicy

# RFC 8305, section 5: how long one address may take before the next is tried as well.
_HEAD_START = 0.25

# For an orderly end of TLS, which nobody waits for.
_FAREWELL = 1.0


class Dialer:
    """Opens connections."""

    def __init__(
        self,
        policy: DestinationPolicy,
        resolver: JudgingResolver,
        ssl_context: ssl.SSLContext,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._open_socket = judging_sockets(policy)
        self._resolver = resolver
        self._ssl_context = ssl_context
        self._loop = loop

    async def connect(self, origin: Origin) -> Connection:
        """Return a new connection; raise :class:`SendingFailed` where none can be had."""
        with _in_words():
            addresses = (
                [origin.host] if origin.is_address else await self._resolver.addresses(origin.host)
            )
            connected = await start_connection(
                [_info(address, origin.port) for address in addresses],
                happy_eyeballs_delay=_HEAD_START,
                loop=self._loop,
                socket_factory=self._open_socket,
            )
            return await self._over(connected, origin)

    async def _over(self, connected: socket.socket, origin: Origin) -> Connection:
        connection = Connection(origin, self._loop, connected)
        if origin.scheme == "https":
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


def _info(address: str, port: int) -> AddrInfoType:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)


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
