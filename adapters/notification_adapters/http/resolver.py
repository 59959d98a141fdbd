"""Looking names up: all addresses of an absolute name, checked, and cached for some seconds."""

import asyncio
import socket
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import aiodns
from attrs import frozen

from notification_adapters.http.destination_guard import DestinationDenied, require_allowed
from notification_adapters.http.shortages import exhausted
from notification_core.errors import Resource, ResourceShort
from notification_core.model.destinations import (
    DestinationPolicy,
    DestinationVerdictKind,
    evaluate_address,
)

CACHED_FOR = timedelta(seconds=5)
"""How long an answer is used again; the DNS's own TTLs may be longer."""

MAX_CACHED = 4096

_LOOPBACK = ("127.0.0.1", "::1")
_NO_SUCH_NAME = frozenset(
    {aiodns.error.ARES_ENOTFOUND, aiodns.error.ARES_ENODATA, aiodns.error.ARES_EBADNAME}
)
# What a name server answers, or does not answer, has other codes: here nobody could be asked.
_NOT_ASKED = frozenset(
    {aiodns.error.ARES_ECONNREFUSED, aiodns.error.ARES_ENOMEM, aiodns.error.ARES_EFILE}
    | {aiodns.error.ARES_ECANCELLED, aiodns.error.ARES_EDESTRUCTION}
)


class LookupFailed(OSError):
    """A name that was not looked up, in words for the customer."""


class NameNotFound(LookupFailed):
    """A name that does not exist, or has no address."""


class NameService(Protocol):
    """Asks for the addresses of names; checks and caches nothing."""

    @abstractmethod
    async def addresses(self, name: str) -> Sequence[str]:
        """Return the A and AAAA records of an absolute name (one that ends with a dot).

        Raises :class:`NameNotFound` and :class:`LookupFailed`, and :class:`ResourceShort` if no
        name server could be asked.
        """

    @abstractmethod
    async def close(self) -> None:
        """End what is being asked."""


class Dns(NameService):
    """The system's name servers (or ``servers``, host:port), asked by c-ares.

    It needs no thread pool that others could fill. /etc/hosts and search domains do not apply,
    since c-ares takes them for relative names only.
    """

    def __init__(self, servers: Sequence[str] = ()) -> None:
        self._servers = servers
        self._resolver: aiodns.DNSResolver | None = None

    async def addresses(self, name: str) -> Sequence[str]:
        """Ask for both families at once."""
        if self._resolver is None:
            self._resolver = aiodns.DNSResolver(self._servers)
        resolver = self._resolver
        try:
            answer = await resolver.getaddrinfo(name, socket.AF_UNSPEC, type=socket.SOCK_STREAM)
        except aiodns.error.DNSError as error:
            code = error.args[0]
            if code in _NO_SUCH_NAME:
                raise NameNotFound("The host's name does not exist or has no address.") from error
            if code in _NOT_ASKED or exhausted():
                await self._start_over(resolver)
                raise ResourceShort(exhausted() or Resource.RESOLVER) from error
            raise LookupFailed("The host's name could not be looked up.") from error
        return [node.addr[0].decode() for node in answer.nodes]

    async def close(self) -> None:
        """End what is being asked, and the thread of c-ares."""
        if self._resolver is not None:
            await self._start_over(self._resolver)

    async def _start_over(self, resolver: aiodns.DNSResolver) -> None:
        """Use this one no more: without descriptors it has not even read which servers there are.

        What others ask of it ends as not asked.
        """
        if self._resolver is resolver:
            self._resolver = None
            await resolver.close()


@frozen
class _CachedAnswer:
    addresses: Sequence[str]
    until: float


class GuardedResolver:
    """Looks a name up once at a time, and refuses it whole if one of its addresses is denied.

    A lookup that a request no longer waits for goes on for those that do.
    """

    def __init__(self, policy: DestinationPolicy, names: NameService) -> None:
        self._policy = policy
        self._names = names
        self._cache: OrderedDict[str, _CachedAnswer] = OrderedDict()
        self._running: dict[str, asyncio.Task[Sequence[str]]] = {}

    async def addresses(self, host: str) -> Sequence[str]:
        """Return all addresses of a name.

        Raises :class:`DestinationDenied` and :class:`LookupFailed`.
        """
        name = host.lower().removesuffix(".")
        cached = self._cache.get(name)
        if cached is not None and asyncio.get_running_loop().time() < cached.until:
            return cached.addresses
        lookup = self._running.get(name)
        if lookup is None:
            lookup = self._running[name] = asyncio.create_task(self._look_up(name))
            lookup.add_done_callback(lambda done: self._finish(name, done))
        return await asyncio.shield(lookup)

    async def close(self) -> None:
        """End the lookups that go on."""
        for lookup in self._running.values():
            lookup.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        await self._names.close()

    def _finish(self, name: str, lookup: asyncio.Task[Sequence[str]]) -> None:
        del self._running[name]
        if lookup.cancelled() or lookup.exception() is not None:
            return
        until = asyncio.get_running_loop().time() + CACHED_FOR.total_seconds()
        self._cache[name] = _CachedAnswer(lookup.result(), until)
        self._cache.move_to_end(name)
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)

    async def _look_up(self, name: str) -> Sequence[str]:
        if name == "localhost" or name.endswith(".localhost"):
            # RFC 6761, section 6.3: these names never leave the host.
            allowed = [
                address
                for address in _LOOPBACK
                if evaluate_address(address, self._policy).kind is DestinationVerdictKind.ALLOW
            ]
            if not allowed:
                raise DestinationDenied("The host is localhost, which webhooks must not point to.")
            return allowed
        addresses = await self._names.addresses(f"{name}.")
        for address in addresses:
            require_allowed(address, self._policy)
        if not addresses:
            raise NameNotFound("The host's name has no address.")
        return addresses
