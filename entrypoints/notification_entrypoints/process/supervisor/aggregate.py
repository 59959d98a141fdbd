"""A supervisor's ops server for its workers: their health, metrics and status, aggregated.

What a process has counted stays in the sums when it exits, so that no counter goes backwards; what
it only shows, such as how much it has in hand, goes with it.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from aiohttp import hdrs, web
from attrs import define, field, frozen
from prometheus_client import Metric, generate_latest
from prometheus_client.core import Sample
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from notification_core.errors import StorageUnavailable
from notification_entrypoints.config.settings import Settings
from notification_entrypoints.observability.metric_registry import SHARED_GAUGES
from notification_entrypoints.observability.metrics import Metrics
from notification_entrypoints.ops.server import OK, Health, HealthSource, MetricsSource
from notification_entrypoints.ops.status import STATUS_WITHOUT_WEBHOOKS, StatusSource
from notification_entrypoints.ops.webhook_ranking import RANKINGS
from notification_entrypoints.process.supervisor.supervised_worker import SupervisedWorker

COLLECT_SECONDS: Final = 5.0
"""How often metrics are collected: what a worker counts after that is lost when it is killed."""

_DEBUG_SECONDS: Final = 70.0  # the longest measurement takes 60 s
_SUPERVISOR: Final = 0
_ACCUMULATED: Final = frozenset({"counter", "histogram"})
_PASSED_ON: Final = (hdrs.HOST, hdrs.AUTHORIZATION)
_HEADERS: Final = {hdrs.CACHE_CONTROL: "no-store", "X-Content-Type-Options": "nosniff"}
_INDEX: Final = """\
Each worker has debug pages of its own, by its number:

"""

Key = tuple[str, tuple[tuple[str, str], ...]]
"""A series: its name and its labels."""


@frozen
class WorkerPoolHealth(HealthSource):
    """The health of the parts of all workers."""

    workers: Sequence[SupervisedWorker]

    async def health(self) -> Health:
        """Return how each part of each worker does; all of them have to be ready."""
        of_workers = await asyncio.gather(*map(self._health_of, self.workers))
        parts = {part: state for health in of_workers for part, state in health.parts.items()}
        return Health(parts, all(health.is_ready for health in of_workers))

    async def _health_of(self, worker: SupervisedWorker) -> Health:
        name = f"worker {worker.number}"
        response = await worker.ask("/readyz")
        if response is None:
            serves = worker.process is not None and worker.ready.is_set()
            return Health({name: "no response" if serves else worker.problem}, is_ready=False)
        fields = json.loads(response.body)
        if not fields["parts"]:
            return Health({name: OK if response.is_ok else fields["status"]}, response.is_ok)
        parts = {f"{name}: {part}": state for part, state in fields["parts"].items()}
        return Health(parts, response.is_ok)


class WorkerPoolMetrics(MetricsSource):
    """The metrics of all workers, those that have exited included."""

    def __init__(self, workers: Sequence[SupervisedWorker], own: Metrics) -> None:
        self._workers = workers
        self._own = own
        self._totals = MetricTotals()

    async def exposed(self) -> bytes:
        """Return the sums in Prometheus' text format."""
        silent = await self._collect()
        return self._totals.exposed(silent)

    def worker_exited(self, number: int) -> None:
        """Keep what a worker has counted that has exited without being stopped."""
        self._totals.retire(number)
        self._own.worker_exited()

    def background_task_failed(self, task: str, error: Exception) -> None:
        """Count an error of the supervisor itself."""
        self._own.background_task_failed(task, error)

    async def keep_collecting(self) -> None:
        """Collect from time to time, so that little is lost where a worker is killed."""
        while True:
            await asyncio.sleep(COLLECT_SECONDS)
            await self._collect()

    async def _collect(self) -> Sequence[int]:
        """Ask all workers; return the numbers of those that do not respond."""
        self._totals.update(_SUPERVISOR, self._own.rendered())
        asked = [worker.process for worker in self._workers]
        responses = await asyncio.gather(*(worker.ask("/metrics") for worker in self._workers))
        silent = []
        for worker, process, response in zip(self._workers, asked, responses, strict=True):
            # Of one that has exited meanwhile everything is counted already.
            if response is not None and response.is_ok and worker.process is process:
                self._totals.update(worker.number, response.body)
            else:
                silent.append(worker.number)
        return silent


@define
class _Family:
    """A metric, and the value of each of its series."""

    name: str
    kind: str
    meaning: str
    values: dict[Key, float] = field(factory=dict)

    def metric(self) -> Metric:
        """Return it as it is exposed."""
        metric = Metric(self.name, self.meaning, self.kind)
        for (name, labels), value in self.values.items():
            metric.add_sample(name, dict(labels), value)
        return metric


_Families = Mapping[str, _Family]


class MetricTotals:
    """The sums over several processes, by their numbers."""

    def __init__(self) -> None:
        self._latest: dict[int, _Families] = {}
        self._retired: dict[str, _Family] = {}

    def update(self, number: int, text: bytes) -> None:
        """Note what a process exposes now, in place of what it has exposed before."""
        self._latest[number] = {
            family.name: _Family(
                family.name,
                family.type,
                family.documentation,
                {
                    (sample.name, _labels(family.name, sample, number)): sample.value
                    for sample in family.samples
                },
            )
            for family in text_string_to_metric_families(text.decode())
        }

    def retire(self, number: int) -> None:
        """Keep what a process has counted, and forget what it had in hand."""
        families = self._latest.pop(number, {}).values()
        _add(self._retired, (family for family in families if family.kind in _ACCUMULATED))

    def exposed(self, silent: Iterable[int] = ()) -> bytes:
        """Return the sums in Prometheus' text format.

        Of those that are ``silent`` now only what they have counted is in it.
        """
        silent = frozenset(silent)
        sums: dict[str, _Family] = {}
        for number, families in self._latest.items():
            _add(
                sums,
                (
                    family
                    for family in families.values()
                    if family.kind in _ACCUMULATED or number not in silent
                ),
            )
        _add(sums, self._retired.values())
        return generate_latest(_Exposed(sums))


class _Exposed(Collector):
    def __init__(self, families: _Families) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        yield from (family.metric() for family in self._families.values())


def _labels(family: str, sample: Sample, number: int) -> tuple[tuple[str, str], ...]:
    """Return a series' labels; what a process uses, such as memory, stays that of each process."""
    labels = tuple(sample.labels.items())
    return (*labels, ("worker", str(number))) if family.startswith("process_") else labels


def _add(sums: dict[str, _Family], families: Iterable[_Family]) -> None:
    for family in families:
        total = sums.setdefault(family.name, _Family(family.name, family.kind, family.meaning))
        is_shared = family.name in SHARED_GAUGES
        for key, value in family.values.items():
            before = total.values.get(key, 0.0)
            total.values[key] = max(before, value) if is_shared else before + value


@frozen
class WorkerPoolStatus(StatusSource):
    """The status of all workers together."""

    workers: Sequence[SupervisedWorker]

    async def read(self, *, with_webhooks: bool) -> Mapping[str, object]:
        """Return the sums; raise :class:`StorageUnavailable` where no worker responds."""
        reports: list[Mapping[str, Any]] = []
        unasked = [*self.workers]
        while unasked and not reports:
            # A single one looks for the webhooks that need a look.
            path = "/status" if with_webhooks else STATUS_WITHOUT_WEBHOOKS
            reports += await _reports([unasked.pop(0)], path)
        reports += await _reports(unasked, STATUS_WITHOUT_WEBHOOKS)
        if not reports:
            raise StorageUnavailable("No worker responds; they may still be starting. See /readyz.")
        # All look at one storage, but each has done something else.
        oldest = [report["oldest_due_seconds"] for report in reports]
        last_minutes = [report["last_minute"] for report in reports]
        return {
            "waiting": max(report["waiting"] for report in reports),
            "waiting_is_exact": all(report["waiting_is_exact"] for report in reports),
            "claimed": max(report["claimed"] for report in reports),
            "webhooks_waiting": max(report["webhooks_waiting"] for report in reports),
            "webhooks_paused": max(report["webhooks_paused"] for report in reports),
            "oldest_due_seconds": max((age for age in oldest if age is not None), default=None),
            "workers": sorted({worker for report in reports for worker in report["workers"]}),
            "dispatching": any(report["dispatching"] for report in reports),
            "last_minute": {
                **{name: sum(minute[name] for minute in last_minutes) for name in last_minutes[0]},
                "seconds": max(minute["seconds"] for minute in last_minutes),
            },
            **{name: reports[0][name] for name in RANKINGS if name in reports[0]},
        }


async def _reports(workers: Sequence[SupervisedWorker], path: str) -> Sequence[Mapping[str, Any]]:
    """Return the reports of the workers that respond."""
    responses = await asyncio.gather(*(worker.ask(path) for worker in workers))
    return [json.loads(response.body) for response in responses if response and response.is_ok]


def add_debug_proxy(
    app: web.Application, settings: Settings, workers: Sequence[SupervisedWorker]
) -> None:
    """Lead to the workers' debug pages, where the settings ask for them.

    Each worker authorizes the request itself, as if it had come directly.
    """
    if not settings.debug:
        return
    by_number = {str(worker.number): worker for worker in workers}

    async def index(request: web.Request) -> web.Response:
        first = await _debug_page(workers[0], request, "")
        if first.status != web.HTTPOk.status_code:
            return first
        lines = [f"/debug/{number}/\n" for number in by_number]
        return web.Response(
            text="".join([_INDEX, *lines]), headers={hdrs.CACHE_CONTROL: "no-store"}
        )

    async def page(request: web.Request) -> web.Response:
        worker = by_number.get(request.match_info["number"])
        if worker is None:
            raise web.HTTPNotFound
        return await _debug_page(worker, request, request.match_info["page"])

    app.router.add_get("/debug/", index)
    app.router.add_get("/debug/{number}/{page:[a-z]*}", page)


async def _debug_page(worker: SupervisedWorker, request: web.Request, page: str) -> web.Response:
    query = f"?{request.query_string}" if request.query_string else ""
    headers: Mapping[str, str] = {
        name: request.headers[name] for name in _PASSED_ON if name in request.headers
    }
    response = await worker.ask(f"/debug/{page}{query}", seconds=_DEBUG_SECONDS, headers=headers)
    if response is None:
        raise StorageUnavailable(f"Worker {worker.number} does not answer: see /readyz.")
    return web.Response(
        body=response.body,
        status=response.status,
        content_type=response.media_type,
        headers=_HEADERS,
    )
