"""The ops server: is this process alive, is it ready, what does it count, and what is it.

Every response but the metrics is JSON. An error has the API's shape; its ``error_code`` is 0, since
the API's catalogue of numbers is for the API.
"""

import asyncio
from asyncio import Event, Task
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Protocol

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from attrs import asdict, frozen

from notification_core.errors import NotificationError
from notification_core.model.durations import format_duration
from notification_entrypoints.observability.metric_registry import CONTENT_TYPE

Check = Callable[[], Awaitable[None]]
"""Returns where a part works, raises where it does not; the error says why."""

OK = "ok"
CHECK_TIMEOUT = timedelta(seconds=2)
WRITE_TIMEOUT = timedelta(seconds=10)

_NONE: Mapping[str, Check] = MappingProxyType({})
_NO_STORE = {hdrs.CACHE_CONTROL: "no-store"}

_log = structlog.get_logger(__name__)


@frozen
class Info:
    """What is running, and where."""

    version: str
    commit: str
    env: str
    pod_name: str
    pod_ip: str


@frozen
class Health:
    """The state of each part, ``ok`` or why it does not work, and whether the process is ready."""

    parts: Mapping[str, str]
    is_ready: bool


class HealthSource(Protocol):
    """The health of the parts of a process."""

    async def health(self) -> Health:
        """Return how they do; takes a bounded time."""


_UNKNOWN = Health({}, is_ready=False)


class MetricsSource(Protocol):
    """The metrics of a process."""

    async def exposed(self) -> bytes:
        """Return all metrics in Prometheus' text format."""

    def background_task_failed(self, task: str, error: Exception) -> None:
        """Count an error that was survived."""


class Readiness(HealthSource):
    """Asks the parts whether they work.

    A part is asked once at a time, however many want to know: a part that hangs, even one that
    ignores its cancellation, costs one task. ``checks`` are those of the parts that the
    process must have to be ready, and ``shown`` those of parts that it can do without for a time.
    Both are read at each question, and may change.
    """

    def __init__(
        self,
        checks: Mapping[str, Check],
        timeout: timedelta = CHECK_TIMEOUT,
        shown: Mapping[str, Check] = _NONE,
    ) -> None:
        self._checks = checks
        self._shown = shown
        self._timeout = timeout
        self._asked: dict[str, Task[None]] = {}

    async def health(self) -> Health:
        """Return how the parts do; takes the timeout at most."""
        required = frozenset(self._checks)
        checks = {**self._shown, **self._checks}
        asked = {part: self._ask(part, check) for part, check in checks.items()}
        if asked:
            await asyncio.wait(asked.values(), timeout=self._timeout.total_seconds())
        states = {part: self._state(part, task) for part, task in asked.items()}
        return Health(states, all(states[part] == OK for part in required))

    async def working(self) -> Mapping[str, bool]:
        """Return which parts work, as :meth:`health` does."""
        return {part: state == OK for part, state in (await self.health()).parts.items()}

    async def close(self) -> None:
        """Stop asking; a response that is still awaited is no response."""
        for task in self._asked.values():
            task.cancel()

    def _ask(self, part: str, check: Check) -> Task[None]:
        async def ask() -> None:
            async with asyncio.timeout(self._timeout.total_seconds()):
                await check()

        def read_error(task: Task[None]) -> None:
            """Read an error that is not awaited any more, or asyncio logs it."""
            if not task.cancelled():
                task.exception()

        task = self._asked.get(part)
        if task is None or task.done():
            task = self._asked[part] = asyncio.create_task(ask())
            task.add_done_callback(read_error)
        return task

    def _state(self, part: str, task: Task[None]) -> str:
        if not task.done() or task.cancelled():
            return self._no_response()
        match task.exception():
            case None:
                return OK
            case TimeoutError():
                return self._no_response()
            case NotificationError() as error:
                return str(error)
            case error:
                _log.error("readiness_check_failed", part=part, exc_info=error)
                return f"{type(error).__name__}: see the log"

    def _no_response(self) -> str:
        return f"no response within {format_duration(self._timeout)}"


def ops_app(
    metrics: MetricsSource,
    parts: HealthSource,
    info: Info,
    *,
    stopping: Event,
    write_timeout: timedelta = WRITE_TIMEOUT,
) -> web.Application:
    """Return the ops server's application.

    A process is ready if its ``parts`` are and it is not ``stopping``. A response takes the
    ``write_timeout`` at most, but for pages below ``/debug/``, which take as long as is asked for.
    """

    async def healthz(_: web.Request) -> web.Response:
        return _json({"status": OK})

    async def readyz(_: web.Request) -> web.Response:
        health = _UNKNOWN if stopping.is_set() else await parts.health()
        if stopping.is_set():
            return _json({"status": "stopping", "parts": health.parts}, status=503)
        if health.is_ready:
            return _json({"status": OK, "parts": health.parts})
        return _json({"status": "unavailable", "parts": health.parts}, status=503)

    async def expose_metrics(_: web.Request) -> web.Response:
        headers = {hdrs.CONTENT_TYPE: CONTENT_TYPE, **_NO_STORE}
        return web.Response(body=await metrics.exposed(), headers=headers)

    async def describe_build(_: web.Request) -> web.Response:
        return _json(asdict(info))

    app = web.Application(middlewares=[_errors_as_json(metrics, write_timeout)])
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", expose_metrics)
    app.router.add_get("/info", describe_build)
    return app


def _errors_as_json(metrics: MetricsSource, write_timeout: timedelta) -> Middleware:
    @web.middleware
    async def respond_to_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            is_measuring = request.path.startswith("/debug/")
            async with asyncio.timeout(None if is_measuring else write_timeout.total_seconds()):
                return await handler(request)
        except TimeoutError:
            return _error(
                503, f"No response was available within {format_duration(write_timeout)}."
            )
        except web.HTTPNotFound:
            return _error(404, "The ops server has /healthz, /readyz, /metrics, /status and /info.")
        except web.HTTPMethodNotAllowed as error:
            response = _error(405, "The ops server is only read: use GET.")
            response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
            return response
        except NotificationError as error:
            return _error(503, str(error))
        except Exception as error:  # noqa: BLE001 - a server's loop survives a request, and counts it
            _log.exception("ops_request_failed", path=request.path)
            metrics.background_task_failed("ops", error)
            return _error(500, "Something went wrong here: see the log.")

    return respond_to_errors


def _error(status: int, message: str) -> web.Response:
    fields: Mapping[str, object] = {
        "error_code": 0,
        "http_code": status,
        "internal_message": "",
        "message": message,
        "stacktrace": [],
    }
    return _json(fields, status=status)


def _json(fields: Mapping[str, object], *, status: int = 200) -> web.Response:
    return web.json_response(fields, status=status, headers=_NO_STORE)
