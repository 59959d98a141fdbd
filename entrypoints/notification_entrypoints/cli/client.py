"""The client commands' way to the API: where it is, what it answers, and when to ask again."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import click
import msgspec
from attrs import field, frozen

import notification_client
from notification_client import FieldError
from notification_client.publishing import Stored, publish_encoded
from notification_client.transport import Response, Transport
from notification_core.errors import Detail
from notification_entrypoints.cli.terminal import messages, run
from notification_entrypoints.commands.exit_codes import (
    DENIED,
    ApiRefused,
    ApiUnavailable,
    CommandFailed,
)

DEFAULT_API = "http://127.0.0.1:3615/api"
DEFAULT_OPS = "http://127.0.0.1:3616"
KEY_VARIABLE = "NOTIFICATION_API_KEY"
_NOT_OURS = "What responds there is not this API."
_OPS_SERVER = "The ops server has "
_PAUSE_SECONDS = 0.5
_PAGE = "100"


@frozen
class Api:
    """Where the API (or another server of ours) is, the key that opens it, and what names it."""

    url: str
    key: str | None = field(repr=False, default=None)
    name: str = "API"
    option: str = "--api"


class ApiClient:
    """Calls the API, and says in words of the command line what went wrong.

    Each request is made once, unless ``retry_for`` says how long it is retried; ``on_retry`` is
    called with the reason.
    """

    def __init__(
        self,
        api: Api,
        retry_for: timedelta = timedelta(),
        on_retry: Callable[[ApiUnavailable], None] = lambda _: None,
    ) -> None:
        self._api = api
        self._transport = Transport(
            api.url,
            api_key=api.key,
            retry_for=retry_for,
            on_retry=lambda error: on_retry(self._unavailable(error)),
        )

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    async def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return what the API answers; raise as :meth:`exchange` does."""
        return (await self.exchange(method, path, body, query)).body

    async def pages(self, path: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """Yield the pages of a list, each as the API answers it; raise as :meth:`exchange` does."""
        with self._in_our_words(path):
            async for page in self._transport.pages(path, query):
                yield page

    async def publish(self, environment_id: UUID, events: Iterable[bytes]) -> AsyncIterator[Stored]:
        """Publish events as the client does that others install; raise as :meth:`exchange` does."""

        async def each() -> AsyncIterator[bytes]:
            for event in events:
                yield event

        with self._in_our_words(f"/environments/{environment_id}/events"):
            async for stored in publish_encoded(self._transport, environment_id, each()):
                yield stored

    async def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
        if_match: str | None = None,
    ) -> Response:
        """Return the API's response; raise :class:`ApiUnavailable` or :class:`ApiRefused`.

        With ``if_match`` nothing is written where somebody else has written meanwhile.
        """
        headers = {"If-Match": if_match} if if_match else {}
        with self._in_our_words(path):
            return await self._transport.request(method, path, body, query=query, headers=headers)

    @contextmanager
    def _in_our_words(self, path: str) -> Iterator[None]:
        """Raise what the client raises as errors of commands, which say what helps."""
        api = self._api
        try:
            yield
        except notification_client.ApiUnavailable as error:
            raise self._unavailable(error) from error
        except notification_client.NotOurApi as error:
            if error.status < HTTPStatus.MULTIPLE_CHOICES:
                said = f"What responds at {api.url} is not our {api.name}."
                raise CommandFailed(said) from error
            raise self._refusal(error.status, _NOT_OURS, (), path) from error
        except notification_client.ApiRefused as error:
            refusal = self._refusal(error.status, error.message, error.details, path)
            refusal.events = error.events
            raise refusal from error

    def _unavailable(self, error: notification_client.ApiUnavailable) -> ApiUnavailable:
        if error.status is None:
            return ApiUnavailable(_unreachable(self._api, error.__cause__))
        reason = error.reason or _NOT_OURS
        return ApiUnavailable(f"The {self._api.name} returned {error.status}: {reason}")

    def _refusal(
        self, status: int, reason: str, details: Sequence[FieldError], path: str
    ) -> ApiRefused:
        message = _denied(self._api, status, reason) if status in DENIED else reason
        message += _hint(self._api, status, path, reason)
        return ApiRefused(status, message, [Detail(each.field, each.message) for each in details])


async def ask(
    api: Api,
    method: str,
    path: str,
    body: object = None,
    query: Mapping[str, str] | None = None,
) -> bytes:
    """Make one request, with a ``body`` to write as JSON, and return what the API answers."""
    async with ApiClient(api) as client:
        content = None if body is None else msgspec.json.encode(body)
        return await client.request(method, path, content, query)


async def list_all(api: Api, path: str) -> list[object]:
    """Return what all pages of a list have."""
    async with ApiClient(api) as client:
        pages = [page async for page in client.pages(path, {"limit": _PAGE})]
    return [item for page in pages for item in msgspec.json.decode(page, type=list[object])]


def ask_until_ended(api: Api, path: str, begun: bytes, unfinished: str) -> bytes:
    """Return what the API says at a path once that is no longer ``running``.

    It is ``begun`` at first. If Ctrl-C comes before, ``unfinished`` is shown, and the latest is
    returned.
    """
    latest = begun

    async def poll() -> None:
        nonlocal latest
        async with ApiClient(api) as client:
            while msgspec.json.decode(latest, type=_Running).state == "running":
                await asyncio.sleep(_PAUSE_SECONDS)
                with suppress(ApiUnavailable):
                    latest = await client.request("GET", path)

    try:
        run(poll())
    except KeyboardInterrupt:
        messages().print(unfinished, markup=False)
    return latest


class _Running(msgspec.Struct):
    """What goes on by itself, as far as it matters here."""

    state: str


def _hint(api: Api, status: int, path: str, reason: str) -> str:
    """Return what may be wrong with the URL if a path is missing that a server of ours has."""
    is_fixed = path in {"/status", "/webhooks/events"} or path.startswith("/environments/")
    if status != HTTPStatus.NOT_FOUND or not is_fixed:
        return ""
    if api.option == "--ops":
        return f" Is {api.url} the ops server (by default {DEFAULT_OPS})? Set {api.option}."
    if reason.startswith(_OPS_SERVER):
        return f" Is {api.url} the API (by default {DEFAULT_API})? Set {api.option}."
    if not urlsplit(api.url).path.endswith("/api"):
        return f" The API's URL ends with /api: is it {api.url}/api? Set {api.option}."
    return ""


def _denied(api: Api, status: int, reason: str) -> str:
    """Say what the caller's key is not good for, and where another one comes from."""
    if not api.key:
        return (
            f"The {api.name} requires authentication: set {KEY_VARIABLE} to an API key, which an "
            "administrator creates with `notification-management keys create`."
        )
    if status == HTTPStatus.UNAUTHORIZED:
        return f"The {api.name} does not take the key in {KEY_VARIABLE}: {reason}"
    return f"The key in {KEY_VARIABLE} does not allow this: {reason}"


def _unreachable(api: Api, error: BaseException | None) -> str:
    # In a few words what the operating system and aiohttp say in many.
    reason = "it does not answer" if isinstance(error, TimeoutError) else str(error)
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        reason = "the TLS handshake failed: https is what a proxy speaks, the server itself http"
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        reason = "its name cannot be resolved"
    elif isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno:
        reason = os.strerror(error.os_error.errno).lower()
    return (
        f"The {api.name} at {api.url} cannot be reached ({reason}); start it with "
        f"`notification-management up`, or say where it is with {api.option}."
    )


def _api_at(_context: click.Context, _parameter: click.Parameter, url: str) -> Api:
    checked, key = checked_url(url, DEFAULT_API), os.environ.get(KEY_VARIABLE, "").strip()
    if not re.fullmatch(r"[!-~]*", key):
        raise click.UsageError(
            f"The value of {KEY_VARIABLE} is not an API key: it has spaces or control characters."
        )
    return Api(checked, key or None)


def checked_url(url: str, example: str) -> str:
    """Return the URL of a server; raise :class:`click.BadParameter` for what is not one."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise click.BadParameter(f"{url!r} is not the URL of a server, like {example}.")
    return url.rstrip("/")


api_option = click.option(
    "--api",
    envvar="NOTIFICATION_API_URL",
    default=DEFAULT_API,
    show_default=True,
    callback=_api_at,
    metavar="URL",
    help="The API's base URL (NOTIFICATION_API_URL; the key is in NOTIFICATION_API_KEY).",
)
"""The option of a client command that says where the API is."""

ops_option = click.option(
    "--ops",
    envvar="NOTIFICATION_OPS_URL",
    default=DEFAULT_OPS,
    show_default=True,
    callback=lambda _, __, url: Api(checked_url(url, DEFAULT_OPS), None, "ops server", "--ops"),
    metavar="URL",
    help="The ops server's base URL (NOTIFICATION_OPS_URL).",
)
"""The option of a client command that says where the ops server is."""
