"""The client commands' way to the API: where it is, what it answers, and when to ask again."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
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

from notification_core.errors import Detail, NotificationError

DEFAULT_API = "http://127.0.0.1:3615/api"
_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)
_AWAY = frozenset({429, 502, 503, 504})
_LONGEST_PAUSE = 2.0

_Answer = TypeVar("_Answer")


class CommandFailed(NotificationError):
    """A command could not do what it was asked for; the message says what helps."""


class ApiUnavailable(NotificationError):
    """The API cannot be reached or has no time: asking again later may help."""


class ApiRefused(NotificationError):
    """The API refuses a request; ``details`` names the fields."""

    def __init__(self, status: int, message: str, details: Sequence[Detail]) -> None:
        said = "; ".join(f"{detail.field}: {detail.message}" for detail in details)
        super().__init__(f"The API refuses this: {said}" if said else message)
        self.status = status
        self.details = tuple(details)


@frozen
class Api:
    """Where the API is, and the key that opens it."""

    url: str
    key: str | None = field(repr=False, default=None)


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
        """Return what the API answers; raise :class:`ApiUnavailable` or :class:`ApiRefused`."""
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            async with self._session.request(
                method,
                self._api.url + path,
                data=None if body is None else BytesIO(body),
                headers=headers,
                params=query,
                allow_redirects=False,
            ) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiUnavailable(_unreachable(self._api.url, error)) from error
        if response.status < HTTPStatus.MULTIPLE_CHOICES:
            return answer
        if response.status in _AWAY:
            raise ApiUnavailable(f"The API answers {response.status}: {_refusal(answer).message}")
        raise _refused(response.status, _refusal(answer))


class _Refusal(msgspec.Struct):
    """The API's one shape of errors, as far as it matters here."""

    message: str = "no reason given"
    details: list[Detail] = []


_REFUSAL = msgspec.json.Decoder(_Refusal)


def _refusal(answer: bytes) -> _Refusal:
    try:
        return _REFUSAL.decode(answer)
    except msgspec.DecodeError:
        return _Refusal("what answers there is not this API")


def _refused(status: int, refusal: _Refusal) -> ApiRefused:
    return ApiRefused(status, refusal.message, refusal.details)


def _unreachable(url: str, error: Exception) -> str:
    reason = "it does not answer" if isinstance(error, TimeoutError) else str(error)
    return (
        f"The API at {url} cannot be reached ({reason}); start it with "
        "`notification-management up`, or say where it is with --api."
    )


async def patiently(
    ask: Callable[[], Awaitable[_Answer]],
    patience: timedelta,
    on_wait: Callable[[ApiUnavailable], None] = lambda _: None,
) -> _Answer:
    """Ask until there is an answer; raise the last :class:`ApiUnavailable` after ``patience``."""
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
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise click.BadParameter(f"{url!r} is no address of an API, like {DEFAULT_API}.")
    return Api(url.rstrip("/"), os.environ.get("NOTIFICATION_API_KEY"))


api_option = click.option(
    "--api",
    envvar="NOTIFICATION_API_URL",
    default=DEFAULT_API,
    show_default=True,
    callback=_api_at,
    metavar="URL",
    help="Where the API is (NOTIFICATION_API_URL; the key is in NOTIFICATION_API_KEY).",
)
"""The option of a client command that says where the API is."""
