"""Requests to the API and their responses: errors as exceptions, and retries."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from http import HTTPStatus
from io import BytesIO
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import msgspec
from yarl import URL

from notification_client.errors import (
    ApiRefused,
    ApiUnavailable,
    FieldError,
    NotAuthorized,
    NotFound,
    NotOurApi,
    Outdated,
)

_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, connect=5)
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
_RETRIED: Final = frozenset({429, 502, 503, 504})
_REFUSALS: Final[Mapping[int, type[ApiRefused]]] = {
    401: NotAuthorized,
    403: NotAuthorized,
    404: NotFound,
    412: Outdated,
}

Query = Mapping[str, str]


class Response(msgspec.Struct, frozen=True):
    """A successful response: its JSON, the version of what it shows, and the next page's query."""

    body: bytes
    etag: str | None = None
    next_page: Query | None = None


class _Refusal(msgspec.Struct):
    """An error as the API answers it, as far as it matters here."""

    message: str
    error_code: int = 0
    details: list[FieldError] = []
    request_id: str = ""


_refusal = msgspec.json.Decoder(_Refusal)


class Transport:
    """Sends requests over connections that are kept; an async context manager.

    ``url`` is the base URL of the API, such as ``https://notify.example.com/api``. A request that
    the API cannot serve now (429, 502, 503, 504, or no connection) is repeated for ``retry_for``,
    as often as ``Retry-After`` says; ``on_retry`` is called with the reason before each pause.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        retry_for: timedelta = timedelta(seconds=30),
        on_retry: Callable[[ApiUnavailable], None] = lambda _: None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url!r} is not the URL of an API, such as http://localhost:3615/api")
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._retry_for = retry_for.total_seconds()
        self._on_retry = on_retry
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=_TIMEOUT)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, path: str, query: Query | None = None) -> Response:
        """Return what is at a path."""
        return await self.request("GET", path, query=query)

    async def pages(self, path: str, query: Query) -> AsyncIterator[bytes]:
        """Yield the pages of a list, each as the JSON of an array."""
        after: Query | None = query
        while after is not None:
            response = await self.get(path, after)
            yield response.body
            after = response.next_page

    async def post_once(self, path: str, body: bytes | None = None) -> Response:
        """Have an effect that repeating the request does not have twice: by an Idempotency-Key."""
        return await self.request("POST", path, body, headers={"Idempotency-Key": str(uuid4())})

    async def request(  # noqa: PLR0913 - what a request consists of
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        retries: bool = True,
    ) -> Response:
        """Return the response to a request; a ``body`` is JSON.

        Without ``retries`` it is sent once: for what must not happen twice. Raises
        :class:`ApiUnavailable`, :class:`ApiRefused` and :class:`NotOurApi`.
        """
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + (self._retry_for if retries else 0.0), _FIRST_PAUSE
        while True:
            wait = pause
            try:
                status, received, content, next_page = await self._exchange(
                    method, path, body, query, headers
                )
            except (aiohttp.ClientError, TimeoutError) as error:
                reason = "it did not respond in time" if isinstance(error, TimeoutError) else error
                unavailable = ApiUnavailable(f"The API at {self.url} is unreachable: {reason}.")
                unavailable.__cause__ = error
            else:
                if status not in _RETRIED:
                    self._check(status, received, content)
                    return Response(content, received.get("ETag"), next_page)
                refusal = _refusal_in(content)
                message = None if refusal is None else refusal.message
                said = f"The API returned {status}" + (f": {message}" if refusal else ".")
                unavailable = ApiUnavailable(said, status, message)
                # Our API writes seconds, never a date.
                asked = received.get("Retry-After", "")
                wait = max(wait, float(asked) if asked.isascii() and asked.isdigit() else 0.0)
            if loop.time() + wait > end:
                raise unavailable
            self._on_retry(unavailable)
            await asyncio.sleep(wait)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        query: Query | None,
        headers: Mapping[str, str] | None,
    ) -> tuple[int, Mapping[str, str], bytes, Query | None]:
        """Return status, headers and body, and the query of a link to the next page (RFC 8288)."""
        if self._session is None:
            raise RuntimeError("Use the client as a context manager: async with NotificationClient")
        sent = {"Content-Type": "application/json"} if body is not None else {}
        async with self._session.request(
            method,
            self.url + path,
            data=None if body is None else BytesIO(body),
            headers=sent | dict(headers or {}),
            params=query,
            allow_redirects=False,
        ) as response:
            link = response.links.get("next")
            next_page = None if link is None else dict(URL(str(link["url"])).query)
            return response.status, response.headers, await response.read(), next_page

    def _check(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        """Raise what a response says that is no success, or not of this API."""
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            refusal = _refusal_in(content)
            if refusal is None:
                raise NotOurApi(f"{self.url} returned {status}, but not as this API.", status)
            raise _REFUSALS.get(status, ApiRefused)(
                status, refusal.error_code, refusal.message, refusal.details, refusal.request_id
            )
        media_type = headers.get("Content-Type", "").partition(";")[0]
        if content and media_type != "application/json":
            said = f"What responds at {self.url} is not this API ({media_type})."
            raise NotOurApi(said, status)


def _refusal_in(content: bytes) -> _Refusal | None:
    """Return the error that a body says, None if it says none."""
    try:
        return _refusal.decode(content)
    except msgspec.DecodeError:
        return None


def to_json(value: object) -> bytes:
    """Return a value as JSON; raise ``TypeError`` for what JSON has no form of."""
    try:
        return msgspec.json.encode(value)
    except TypeError:
        # The standard library takes subclasses of ``str`` and ``int``, too.
        return json.dumps(value).encode()
