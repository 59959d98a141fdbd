"""``/status`` of the ops server: does the system keep up, as JSON.

What waits is measured in the storage: counts stop at 100,000 and are read from the index of what
waits alone, so that it costs some milliseconds with a million rows as well. It is measured once a
second at most, however many ask. What was done in the last minute is this process's own. The
webhooks that need a look are named, unless ``?webhooks=no`` leaves them out.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol
from uuid import UUID

from aiohttp import hdrs, web
from attrs import define, field, frozen

from notification_core.errors import StorageUnavailable
from notification_core.model.delivery import AttemptOutcome
from notification_core.ports.backlog import MAX_COUNTED, Backlog, BacklogSize
from notification_entrypoints.observability.rate_window import EVENTS, LastMinute
from notification_entrypoints.ops.webhook_ranking import WebhookRanking

STATUS_WITHOUT_WEBHOOKS: Final = "/status?webhooks=no"

_FRESH_SECONDS = 1.0
_NO_STORE = {hdrs.CACHE_CONTROL: "no-store"}


class StatusSource(Protocol):
    """The status of the system."""

    async def read(self, *, with_webhooks: bool) -> Mapping[str, object]:
        """Return the report, with the webhooks that need a look or without them.

        Raises :class:`StorageUnavailable` if it is unknown.
        """


@frozen
class _Measured:
    size: BacklogSize
    at: float


@define(eq=False)
class StatusReport(StatusSource):
    """The status of a process; its ``worker`` is None if it does not dispatch."""

    done: LastMinute
    monotonic: Callable[[], float]
    _worker: Callable[[], UUID | None] = field(default=lambda: None, init=False)
    _backlog: Backlog | None = field(default=None, init=False)
    _ranking: WebhookRanking | None = field(default=None, init=False)
    _measured: _Measured | None = field(default=None, init=False)
    _turn: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    @property
    def worker(self) -> UUID | None:
        """Who sends here now."""
        return self._worker()

    def opened(
        self, backlog: Backlog, ranking: WebhookRanking, worker: Callable[[], UUID | None]
    ) -> None:
        """Measure this storage from now on."""
        self._backlog, self._ranking, self._worker = backlog, ranking, worker

    async def read(self, *, with_webhooks: bool) -> Mapping[str, object]:
        """Return the report; raise :class:`StorageUnavailable`, also as long as none is open."""
        size = await self.size()
        oldest = size.oldest_due
        ranked = await self._ranking.read() if self._ranking and with_webhooks else {}
        return {
            "waiting": size.waiting,
            "waiting_is_exact": size.waiting < MAX_COUNTED,
            "claimed": size.claimed,
            "webhooks_waiting": size.webhooks,
            "webhooks_paused": size.paused,
            "oldest_due_seconds": None if oldest is None else oldest.total_seconds(),
            "workers": sorted(str(worker) for worker in {*size.workers, self.worker} if worker),
            "dispatching": self.worker is not None,
            "last_minute": {
                **{name: self.done.total(name) for name in (EVENTS, *AttemptOutcome)},
                "seconds": round(self.done.seconds, 1),
            },
            **ranked,
        }

    async def size(self, at_most_old: float = _FRESH_SECONDS) -> BacklogSize:
        """Return how much waits, measured so many seconds ago at most.

        Raises :class:`StorageUnavailable`, also as long as no storage is open.
        """
        if self._backlog is None:
            raise StorageUnavailable("The process is starting: ask again in a moment.")
        async with self._turn:
            latest, now = self._measured, self.monotonic()
            if latest is None or now - latest.at >= at_most_old:
                latest = self._measured = _Measured(await self._backlog.size(), now)
            return latest.size


def add_status_page(app: web.Application, report: StatusSource) -> None:
    """Serve the report at ``/status``."""

    async def status(request: web.Request) -> web.Response:
        with_webhooks = request.query.get("webhooks") != "no"
        return web.json_response(await report.read(with_webhooks=with_webhooks), headers=_NO_STORE)

    app.router.add_get("/status", status)
