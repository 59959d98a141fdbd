"""How a supervisor's ops server speaks for its workers: it asks them, and puts it together."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import hdrs, web
from attrs import frozen

from notification_core.errors import StorageUnavailable
from notification_entrypoints.config.settings import Settings
from notification_entrypoints.observability.log_output import LogOutput
from notification_entrypoints.observability.metrics import Metrics
from notification_entrypoints.ops.server import OK, Counts, Health, Parts
from notification_entrypoints.ops.status import Report
from notification_entrypoints.process.supervisor.supervised_worker import SupervisedWorker
from notification_entrypoints.process.supervisor.totals import Totals
from notification_entrypoints.process.supervisor.worker_process import Answer

LOOK_SECONDS: Final = 5.0
"""How often the counts are looked at: what a worker counts after that is lost when it is killed."""

_ASK_SECONDS: Final = 2.5  # a worker gives its own parts 2 s
_DEBUG_SECONDS: Final = 70.0  # the longest measurement takes 60 s
_ITSELF: Final = 0
_PASSED_ON: Final = (hdrs.HOST, hdrs.AUTHORIZATION)
_HEADERS: Final = {hdrs.CACHE_CONTROL: "no-store", "X-Content-Type-Options": "nosniff"}
_INDEX: Final = """\
Each worker has debug pages of its own, by its number:

"""


@frozen
class CrewParts(Parts):
    """Knows how the parts of all workers do."""

    slots: Sequence[SupervisedWorker]

    async def health(self) -> Health:
        """Return how each part of each worker does; all of them have to be ready."""
        found = await asyncio.gather(*map(_health_of, self.slots))
        parts = {part: state for health in found for part, state in health.parts.items()}
        return Health(parts, all(health.is_ready for health in found))


async def _health_of(slot: SupervisedWorker) -> Health:
    name = f"worker {slot.number}"
    answer = await _asked(slot, "/readyz")
    if answer is None:
        problem = slot.problem if slot.child is None or not slot.ready.is_set() else "no answer"
        return Health({name: problem}, is_ready=False)
    told = json.loads(answer.body)
    if not told["parts"]:
        return Health({name: OK if answer.is_ok else told["status"]}, answer.is_ok)
    parts = {f"{name}: {part}": state for part, state in told["parts"].items()}
    return Health(parts, answer.is_ok)


class CrewCounts(Counts):
    """Knows what all workers have counted, those that have ended too."""

    def __init__(self, slots: Sequence[SupervisedWorker], own: Metrics) -> None:
        self._slots = slots
        self._own = own
        self._totals = Totals()

    async def exposed(self) -> bytes:
        """Return the sums in Prometheus' text format."""
        silent = await self._look()
        return self._totals.exposed(silent)

    def ended(self, number: int) -> None:
        """Keep what a worker has counted that has ended although nobody told it to."""
        self._totals.ended(number)
        self._own.worker_exited()

    def observe_log(self, log: LogOutput) -> None:
        """Count the lines that the supervisor's own log lacks."""
        self._own.observe_log(log)

    def background_task_failed(self, task: str, error: Exception) -> None:
        """Count an error of the supervisor itself."""
        self._own.background_task_failed(task, error)

    async def keep_looking(self) -> None:
        """Look from time to time, so that little is lost where a worker is killed."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._look()

    async def _look(self) -> Sequence[int]:
        """Have all workers tell; return who does not answer."""
        self._totals.learn(_ITSELF, self._own.rendered())
        asked = [slot.child for slot in self._slots]
        answers = await asyncio.gather(*(_asked(slot, "/metrics") for slot in self._slots))
        silent = []
        for slot, child, answer in zip(self._slots, asked, answers, strict=True):
            # Of one that has ended meanwhile everything is counted already.
            if answer is not None and answer.is_ok and slot.child is child:
                self._totals.learn(slot.number, answer.body)
            else:
                silent.append(slot.number)
        return silent


@frozen
class CrewReport(Report):
    """Tells how all workers do together."""

    slots: Sequence[SupervisedWorker]

    async def read(self) -> Mapping[str, object]:
        """Return the sums; raise :class:`StorageUnavailable` where no worker answers."""
        answers = await asyncio.gather(*(_asked(slot, "/status") for slot in self.slots))
        told = [json.loads(answer.body) for answer in answers if answer and answer.is_ok]
        if not told:
            raise StorageUnavailable("No worker answers: see /readyz.")
        return _together(told)


def _together(told: Sequence[Mapping[str, Any]]) -> Mapping[str, object]:
    """Put reports together: all look at one storage, but each has done something else."""
    oldest = [one["oldest_due_seconds"] for one in told if one["oldest_due_seconds"] is not None]
    last_minutes = [one["last_minute"] for one in told]
    return {
        "waiting": max(one["waiting"] for one in told),
        "waiting_is_exact": all(one["waiting_is_exact"] for one in told),
        "begun": max(one["begun"] for one in told),
        "webhooks_waiting": max(one["webhooks_waiting"] for one in told),
        "oldest_due_seconds": max(oldest, default=None),
        "workers": sorted({worker for one in told for worker in one["workers"]}),
        "dispatching": any(one["dispatching"] for one in told),
        "last_minute": {
            **{name: sum(one[name] for one in last_minutes) for name in last_minutes[0]},
            "seconds": max(one["seconds"] for one in last_minutes),
        },
    }


def add_debug_door(
    app: web.Application, settings: Settings, slots: Sequence[SupervisedWorker]
) -> None:
    """Lead to the workers' debug pages, where the settings ask for them.

    Who may see them each worker judges itself, as if it had been asked directly.
    """
    if not settings.debug:
        return
    by_number = {str(slot.number): slot for slot in slots}

    async def index(request: web.Request) -> web.Response:
        first = await _debug_page(slots[0], request, "")
        if first.status != web.HTTPOk.status_code:
            return first
        lines = [f"/debug/{number}/\n" for number in by_number]
        return web.Response(
            text="".join([_INDEX, *lines]), headers={hdrs.CACHE_CONTROL: "no-store"}
        )

    async def page(request: web.Request) -> web.Response:
        slot = by_number.get(request.match_info["number"])
        if slot is None:
            raise web.HTTPNotFound
        return await _debug_page(slot, request, request.match_info["page"])

    app.router.add_get("/debug/", index)
    app.router.add_get("/debug/{number}/{page:[a-z]*}", page)


async def _debug_page(slot: SupervisedWorker, request: web.Request, page: str) -> web.Response:
    query = f"?{request.query_string}" if request.query_string else ""
    headers: Mapping[str, str] = {
        name: request.headers[name] for name in _PASSED_ON if name in request.headers
    }
    answer = await _asked(slot, f"/debug/{page}{query}", seconds=_DEBUG_SECONDS, headers=headers)
    if answer is None:
        raise StorageUnavailable(f"Worker {slot.number} does not answer: see /readyz.")
    return web.Response(
        body=answer.body,
        status=answer.status,
        content_type=answer.media_type,
        headers=_HEADERS,
    )


async def _asked(
    slot: SupervisedWorker,
    path: str,
    *,
    seconds: float = _ASK_SECONDS,
    headers: Mapping[str, str] | None = None,
) -> Answer | None:
    child = slot.child
    return await child.ask(path, seconds=seconds, headers=headers) if child else None


@asynccontextmanager
async def running(counts: CrewCounts) -> AsyncIterator[None]:
    """Keep an eye on the counts for the length of the block."""
    looking = asyncio.create_task(counts.keep_looking())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
