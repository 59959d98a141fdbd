"""The client commands' way to the API: where it is, what it answers, and when to ask again."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from http import HTTPStatus
from io import BytesIO
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
import click
import msgspec
from attrs import field, frozen
from yarl import URL

from notification_core.errors import Detail
from notification_entrypoints.cli.terminal import messages, run
from notification_entrypoints.commands.exit_codes import (
    DENIED,
    ApiRefused,
    ApiUnavailable,
    CommandFailed,
    is_away,
)

DEFAULT_API = "http://127.0.0.1:3615/api"
DEFAULT_OPS = "http://127.0.0.1:3616"
KEY_VARIABLE = "NOTIFICATION_API_KEY"
_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)
_LONGEST_PAUSE = 2.0
_PAUSE_SECONDS = 0.5

_Response = TypeVar("_Response")


@frozen
class Api:
    """Where the API (or another server of ours) is, the key that opens it, and what names it."""

    url: str
    key: str | None = field(repr=False, default=None)
    name: str = "API"
    option: str = "--api"


@frozen
class ApiResponse:
    """What the API answered: the JSON, the version of it, and the query of the next page."""

    body: bytes
    etag: str | None = None
    next_page: Mapping[str, str] | None = None


class ApiClient:
    """Speaks JSON with the API, over connections that are kept; an async context manager."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._api.key}"} if self._api.key else {}
        self._session = aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

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
        after: Mapping[str, str] | None = query
        while after is not None:
            response = await self.exchange("GET", path, query=after)
            yield response.body
            after = response.next_page

    async def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
        if_match: str | None = None,
    ) -> ApiResponse:
        """Return the API's response; raise :class:`ApiUnavailable` or :class:`ApiRefused`.

        With ``if_match`` nothing is written where somebody else has written meanwhile.
        """
        headers = {} if body is None else {"Content-Type": "application/json"}
        headers |= {"If-Match": if_match} if if_match else {}
        try:
            async with self._session.request(
                method,
                self._api.url + path,
                data=None if body is None else BytesIO(body),
                headers=headers,
                params=query,
                allow_redirects=False,
            ) as response:
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiUnavailable(_unreachable(self._api, error)) from error
        if response.status < HTTPStatus.MULTIPLE_CHOICES:
            if content and response.content_type != "application/json":
                raise CommandFailed(f"What answers at {self._api.url} is not our {self._api.name}.")
            link = response.links.get("next")
            next_page = None if link is None else dict(URL(str(link["url"])).query)
            return ApiResponse(content, response.headers.get("ETag"), next_page)
        status = response.status
        try:
            refusal = _REFUSAL.decode(content)
        except msgspec.DecodeError:
            refusal = _Refusal("what answers there is not this API")
        if is_away(status):
            raise ApiUnavailable(f"The {self._api.name} answers {status}: {refusal.message}")
        message = _denied(self._api, status, refusal) if status in DENIED else refusal.message
        message += _hint(self._api, status, path)
        details = [Detail(detail.field, detail.message) for detail in refusal.details]
        raise ApiRefused(status, message, details)


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


class _Detail(msgspec.Struct):
    field: str
    message: str


class _Refusal(msgspec.Struct):
    """The API's one shape of errors, as far as it matters here."""

    message: str = "no reason given"
    details: list[_Detail] = []


_REFUSAL = msgspec.json.Decoder(_Refusal)


def _hint(api: Api, status: int, path: str) -> str:
    """Return what may be wrong with the URL if a path is missing that a server of ours has."""
    is_fixed = path in {"/status", "/webhooks/events"} or path.startswith("/environments/")
    if status != HTTPStatus.NOT_FOUND or not is_fixed:
        return ""
    if api.option == "--ops":
        return f" Is {api.url} the ops server (by default {DEFAULT_OPS})? Set {api.option}."
    if not urlsplit(api.url).path.endswith("/api"):
        return f" The API's URL ends with /api: is it {api.url}/api? Set {api.option}."
    return ""


def _denied(api: Api, status: int, refusal: _Refusal) -> str:
    """Say what the caller's key is not good for, and where another one comes from."""
    if not api.key:
        return (
            f"The {api.name} requires authentication: set {KEY_VARIABLE} to an API key, which an "
            "administrator creates with `notification-management keys create`."
        )
    if status == HTTPStatus.UNAUTHORIZED:
        return f"The {api.name} does not take the key in {KEY_VARIABLE}: {refusal.message}"
    return f"The key in {KEY_VARIABLE} does not allow this: {refusal.message}"


def _unreachable(api: Api, error: Exception) -> str:
    # In a few words what the operating system and aiohttp say in many.
    reason = "it does not answer" if isinstance(error, TimeoutError) else str(error)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        reason = "its name is not known"
    elif isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno:
        reason = os.strerror(error.os_error.errno).lower()
    return (
        f"The {api.name} at {api.url} cannot be reached ({reason}); start it with "
        f"`notification-management up`, or say where it is with {api.option}."
    )


async def patiently(
    ask: Callable[[], Awaitable[_Response]],
    patience: timedelta,
    on_wait: Callable[[ApiUnavailable], None] = lambda _: None,
) -> _Response:
    """Ask until there is a response; raise the last :class:`ApiUnavailable` after ``patience``."""
    loop = asyncio.get_running_loop()
    end, pause = loop.time() + patience.total_seconds(), 0.1
    while True:
        try:
            return await ask()
        except ApiUnavailable as error:
            if loop.time() + pause > end:
                raise
            on_wait(error)
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def _api_at(_context: click.Context, _parameter: click.Parameter, url: str) -> Api:
    checked, key = checked_url(url, DEFAULT_API), os.environ.get(KEY_VARIABLE, "").strip()
    if not re.fullmatch(r"[!-~]*", key):
        raise click.UsageError(
            f"What {KEY_VARIABLE} is set to is no key: it holds spaces or worse."
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
