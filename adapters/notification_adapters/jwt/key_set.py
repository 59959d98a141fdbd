"""The published keys of an issuer (RFC 7517): read over HTTP, kept, and read again in time.

Only the configuration says where they are, and whoever sends a token can make us read them no
more often than once in a while: by a key that is not known.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, hdrs
from jwt import PyJWK, PyJWTError

from notification_adapters.bounded_body import read_at_most
from notification_core.errors import CredentialRefused, IssuerUnavailable
from notification_core.ports.clock import Clock

FRESH_FOR = timedelta(minutes=5)
"""How long the keys are believed without reading them again."""

KEPT_FOR = timedelta(hours=1)
"""How long they are believed while the issuer does not answer."""

PAUSE = timedelta(seconds=30)
"""How long a key that is not among them is not looked for again."""

PAUSE_AFTER_FAILURE = timedelta(seconds=2)
"""The same where the issuer did not answer."""

MAX_BYTES = 256 * 1024
MAX_KEYS = 100

_TIMEOUT = timedelta(seconds=3)
_OK = 200
_JWK = dict[str, Any]
_UNKNOWN = "The token is signed by a key that its issuer does not publish."


class _Set(msgspec.Struct):
    keys: list[_JWK]


_SET = msgspec.json.Decoder(_Set)


class KeySet:
    """The keys at a URL; to be made where an event loop runs."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._published: Mapping[str | None, _JWK] = {}
        self._ready: dict[tuple[str | None, str], PyJWK] = {}
        self._read_at = -KEPT_FOR.total_seconds()
        self._again_at = 0.0
        self._turn = asyncio.Lock()
        self._session = ClientSession(
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=_TIMEOUT.total_seconds()),
            trust_env=False,
            auto_decompress=False,
            headers={hdrs.ACCEPT: "application/json", hdrs.ACCEPT_ENCODING: "identity"},
        )

    async def key(self, kid: str | None, algorithm: str) -> PyJWK:
        """Return the key of this id, for this algorithm and no other.

        A token without an id of a key means the one that there is, if there is only one.
        Raises :class:`CredentialRefused`, and :class:`IssuerUnavailable`.
        """
        if kid not in self._published or self._age() >= FRESH_FOR.total_seconds():
            await self._refresh()
        if kid not in self._published:
            raise CredentialRefused(_UNKNOWN)
        ready = self._ready.get((kid, algorithm))
        if ready is None:
            ready = self._ready[kid, algorithm] = _bound_to(self._published[kid], algorithm)
        return ready

    async def close(self) -> None:
        """Close idle connections."""
        await self._session.close()

    def _age(self) -> float:
        return self._clock.monotonic() - self._read_at

    async def _refresh(self) -> None:
        """Read the keys once for all who wait, unless that was just tried."""
        async with self._turn:
            if self._clock.monotonic() >= self._again_at:
                pause = PAUSE if await self._read() else PAUSE_AFTER_FAILURE
                self._again_at = self._clock.monotonic() + pause.total_seconds()
        if self._age() >= KEPT_FOR.total_seconds():
            raise IssuerUnavailable("The issuer's keys cannot be read.")

    async def _read(self) -> bool:
        """Read the keys; tell whether that succeeded: else what was read before stays."""
        read_at = self._clock.monotonic()
        try:
            async with self._session.get(self._url, allow_redirects=False) as response:
                if response.status != _OK:
                    return False
                published = _keys(await read_at_most(response, MAX_BYTES))
        except (ClientError, TimeoutError, msgspec.MsgspecError, UnicodeDecodeError):
            return False
        self._published, self._ready, self._read_at = published, {}, read_at
        return True


def _keys(body: bytes) -> Mapping[str | None, _JWK]:
    """Return the public keys that sign, by their ids; a single one also by no id."""
    try:
        keys = _SET.decode(body).keys[:MAX_KEYS]
    except RecursionError as error:
        raise ClientError("The issuer's keys are nested too deeply.") from error
    # A secret key is nobody's to publish.
    public = [
        key for key in keys if key.get("use", "sig") == "sig" and "d" not in key and "k" not in key
    ]
    by_id: dict[str | None, _JWK] = {
        key["kid"]: key for key in public if isinstance(key.get("kid"), str)
    }
    return by_id | {None: public[0]} if len(public) == 1 else by_id


def _bound_to(key: _JWK, algorithm: str) -> PyJWK:
    """Return a key bound to an algorithm that it is for."""
    if key.get("alg", algorithm) != algorithm:
        raise CredentialRefused("The token's algorithm is not that of its issuer's key.")
    try:
        return PyJWK(key, algorithm)
    except (PyJWTError, TypeError, ValueError) as error:
        raise CredentialRefused(_UNKNOWN) from error
