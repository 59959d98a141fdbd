"""Where a hostile case takes place: who is there, and how the sender is made that goes there."""

import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import frozen

from notification_adapters.http.destination_guard import system_trust
from notification_adapters.http.resolver import Dns, NameService
from notification_core.model.destinations import DestinationPolicy, parse_networks
from notification_core.ports.sender import HttpSender
from tests.support.certificates import Authority
from tests.support.name_server import NO_ERROR, name_server
from tests.support.raw_receivers import NO_CONTENT, Act, RawReceiver, closes, says
from tests.support.receivers import LOOPBACK
from tests.support.sending import EMPTY, LOOPBACK_OPEN, MakeSender, Names, send, usual_trust

NAME = "receiver.example"
NOTHING_OPEN = DestinationPolicy()
_ONE_OPEN = DestinationPolicy(allowed_networks=parse_networks("127.0.0.2"))


@frozen
class Stage:
    """Where to send, and with what; ``receivers`` are all that could be reached.

    ``before`` happens first, and is no part of what is looked at.
    """

    url: str
    receivers: Sequence[RawReceiver] = ()
    body: bytes = b"{}"
    policy: DestinationPolicy = LOOPBACK_OPEN
    names: NameService | None = None
    ssl_context: ssl.SSLContext | None = None
    before: Callable[[HttpSender], AbstractAsyncContextManager[None]] | None = None

    def sender(self, make: MakeSender) -> HttpSender:
        """Make the sender that goes here."""
        names = self.names or Names([LOOPBACK])
        return make(self.policy, names=names, ssl_context=self.ssl_context or usual_trust())


OpenStage = Callable[[Path], AbstractAsyncContextManager[Stage]]
"""Opens a stage; the folder is its own."""


def receiver(act: Act, *, body: bytes = b"{}", deaf: bool = False) -> OpenStage:
    """Have one receiver that does this when a request has come."""

    @asynccontextmanager
    async def opened(_: Path) -> AsyncIterator[Stage]:
        async with RawReceiver(act, deaf=deaf) as there:
            yield Stage(there.url, [there], body)

    return opened


@asynccontextmanager
async def nobody(_: Path) -> AsyncIterator[Stage]:
    """Have nobody listen."""
    async with RawReceiver() as gone:
        pass
    yield Stage(gone.url)


def redirect(status: int) -> OpenStage:
    """Have a receiver that sends to another one, which is inside as well."""

    @asynccontextmanager
    async def opened(_: Path) -> AsyncIterator[Stage]:
        async with RawReceiver(says(NO_CONTENT)) as inside:
            moved = f"HTTP/1.1 {status} Moved\r\nLocation: {inside.url}\r\n".encode() + EMPTY
            async with RawReceiver(says(moved)) as there:
                yield Stage(there.url, [there, inside])

    return opened


def certified(host: str = NAME, *, expired: bool = False, trusted: bool = True) -> OpenStage:
    """Have a receiver with this certificate, asked for by its own name."""
    return _encrypted(lambda authority: authority.server(host, expired=expired), trusted=trusted)


def outdated() -> OpenStage:
    """Have a receiver that speaks no TLS later than 1.1."""

    def server(authority: Authority) -> ssl.SSLContext:
        context = authority.server(NAME)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        return context

    return _encrypted(server)


def demanding() -> OpenStage:
    """Have a receiver that ends a handshake without a client's certificate by an alert."""

    def server(authority: Authority) -> ssl.SSLContext:
        context = authority.trusted_by(authority.server(NAME))
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    return _encrypted(server)


def unencrypted(greeting: bytes = b"", *, hangs: bool = False) -> OpenStage:
    """Have a receiver that is asked for TLS and speaks none: it greets, hangs, or goes."""

    @asynccontextmanager
    async def opened(_: Path) -> AsyncIterator[Stage]:
        async with RawReceiver(greeting=greeting, deaf=bool(greeting) or hangs) as there:
            yield Stage(f"https://{NAME}:{there.port}/", [there])

    return opened


def looked_up(*addresses: str, code: int | None = NO_ERROR) -> OpenStage:
    """Have a real name server that knows these addresses, and a receiver at every loopback one.

    Only 127.0.0.2 is open.
    """

    @asynccontextmanager
    async def opened(_: Path) -> AsyncIterator[Stage]:
        async with name_server(*addresses, code=code) as server, _everywhere() as there:
            url = there.url_of(NAME)
            yield Stage(url, [there], policy=_ONE_OPEN, names=Dns([server.address]))

    return opened


@asynccontextmanager
async def rebound(_: Path) -> AsyncIterator[Stage]:
    """Have a name that led to an open address when it was asked for first, and then inside."""

    @asynccontextmanager
    async def before(sender: HttpSender) -> AsyncIterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("notification_adapters.http.resolver.CACHED_FOR", timedelta(0))
            assert (await send(sender, url)).http_code == 204
            there.connections = 0
            yield

    async with _everywhere() as there:
        url = there.url_of(NAME)
        names = Names(["127.0.0.2"], [LOOPBACK])
        yield Stage(url, [there], policy=_ONE_OPEN, names=names, before=before)


def nowhere(url: str, *addresses: str) -> OpenStage:
    """Have nothing open at all: neither this URL nor the addresses that its name leads to."""

    @asynccontextmanager
    async def opened(_: Path) -> AsyncIterator[Stage]:
        async with _everywhere() as there:
            target = url.replace("PORT", str(there.port))
            yield Stage(target, [there], policy=NOTHING_OPEN, names=Names(addresses))

    return opened


def _encrypted(server: Callable[[Authority], ssl.SSLContext], *, trusted: bool = True) -> OpenStage:
    @asynccontextmanager
    async def opened(folder: Path) -> AsyncIterator[Stage]:
        authority = Authority(folder)
        trust = authority.trusted_by(system_trust()) if trusted else system_trust()
        async with RawReceiver(says(NO_CONTENT), ssl_context=server(authority)) as there:
            yield Stage(there.url_of(NAME), [there], ssl_context=trust)

    return opened


def _everywhere() -> RawReceiver:
    last = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    return RawReceiver(closes(last), host="0.0.0.0")  # noqa: S104 - every address of loopback
