"""The operations on events: which there are, and publishing them."""

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, tzinfo
from functools import partial
from typing import Final, NamedTuple, Protocol

import msgspec
from aiohttp import hdrs, web
from attrs import evolve, field, frozen

from notification_adapters.converters import ApiConverter
from notification_adapters.event_formats.cloudevents import (
    http_headers,
    is_cloud_event,
    read_cloud_events,
)
from notification_adapters.event_formats.event_json import read_events
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import EnvironmentBeingErased, EnvironmentNotFound, InvalidInput
from notification_core.ingest.data_validation import DataValidation, Misfits
from notification_core.ingest.ingest import Ingest, Published
from notification_core.ingest.ingest_spans import with_trace
from notification_core.model.event import Event
from notification_core.model.event_types import EventCatalogues
from notification_core.model.message import Headers
from notification_core.model.request_records import RecordsOf
from notification_core.ports.clock import Clock
from notification_core.ports.tracer import Tracer
from notification_entrypoints.api.endpoint import ACCEPTED, ApiCall, Handler, json_response
from notification_entrypoints.api.http.requests import is_one_of
from notification_entrypoints.api.idempotency import Idempotency
from notification_entrypoints.api.tracing import TRACEPARENT

_encode = msgspec.json.encode

_Publish = Callable[[RecordsOf[Sequence[Published]] | None], Awaitable[Sequence[Published]]]

_JSON, _CLOUD_EVENT = "application/json", "ce-specversion"
_TRACE_EXTENSION: Final = {"ce_traceparent", "ce_tracestate"}
"""Another attempt to publish an event may be another span."""

_READ_AT_ONCE: Final = 128 * 1024
"""More bytes than that are read in a thread: it may take long, and others are served meanwhile."""


class IngestMetrics(Protocol):
    """Who counts what came in and was not as it should be."""

    @abstractmethod
    def events_rejected(self, count: int) -> None:
        """Count events that were refused."""


class _Batch(NamedTuple):
    """What a request publishes: a ``single`` event or an array, and those that do not fit.

    Of a CloudEvent the ``headers`` say something, too.
    """

    events: Sequence[Event]
    single: bool
    misfits: Misfits
    headers: Headers


@frozen
class EventOperations:
    """Lists the event types and publishes events.

    Publishing is the hot path: the body goes to the reader of messages as it came, which checks
    it once, and past the validator and the converter.
    """

    ingest: Ingest
    idempotency: Idempotency
    validation: DataValidation
    catalogues: EventCatalogues
    metrics: IngestMetrics
    tracer: Tracer
    clock: Clock
    ids: IdGenerator
    zone: tzinfo
    converter: ApiConverter
    # One thread: several would only wait for each other.
    _reader: ThreadPoolExecutor = field(
        init=False, factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="event-reader")
    )

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """What answers these operations, by their ids in the document."""
        return {
            "listEventTypes": Handler(self.types),
            "publishEvents": Handler(self.publish, parses_body=True, takes=_is_binary_json),
        }

    async def types(self, call: ApiCall) -> web.Response:
        """Answer with the catalogue, that of an environment if one is named."""
        catalogue = self.catalogues.published
        if "environment_id" in call.parameters.values:
            environment_id = call.parameters.id("environment_id")
            if not call.caller.reaches(environment_id):
                raise EnvironmentNotFound(environment_id)
            catalogue = self.catalogues.of(environment_id)
        return json_response(self.converter.dump(list(catalogue.types.values())))

    async def publish(self, call: ApiCall) -> web.Response:
        """Publish one event or a batch; count events that are refused."""
        now = self.clock.now()
        try:
            if len(call.body) <= _READ_AT_ONCE:
                batch = self._read(call, now, lambda: str(self.ids(now)))
            else:
                loop = asyncio.get_running_loop()
                batch = await loop.run_in_executor(self._reader, self._read, call, now, str)
                # Missing ids are made here: what makes them is not for two threads at a time.
                events = [
                    event if event.event_id else evolve(event, event_id=str(self.ids(now)))
                    for event in batch.events
                ]
                batch = batch._replace(events=events)
            if batch.headers:
                # Two events in binary mode may differ in their headers alone.
                said = sorted(pair for pair in batch.headers if pair[0] not in _TRACE_EXTENSION)
                call = evolve(call, body=_encode([str(said), call.body]))
            if self.tracer.is_on:
                traced = with_trace(batch.events, call.request.get(TRACEPARENT))
                batch = batch._replace(events=traced)
            publish: _Publish = partial(self.ingest.publish, batch.events)
            if batch.misfits:
                publish = partial(self._publish_misfits, batch)
            return await self.idempotency.respond_once(call, publish, partial(_render, call, batch))
        except InvalidInput as error:
            # In a batch, what is wrong with ``[3].event`` is wrong with ``[3]``.
            parts = [detail.field.partition(".") for detail in error.details]
            rejected = {place if place.startswith("[") else "" for place, _, _ in parts}
            self.metrics.events_rejected(len(rejected))
            raise

    async def _publish_misfits(
        self, batch: _Batch, make_records: RecordsOf[Sequence[Published]] | None
    ) -> Sequence[Published]:
        """Publish events of which some do not fit their schema, unless these are rejected."""
        await self.validation.check(batch.events, batch.misfits, single=batch.single)
        published = await self.ingest.publish(batch.events, make_records)
        self.validation.count_stored(batch.events, batch.misfits, published)
        return published

    def _read(self, call: ApiCall, now: datetime, make_event_id: Callable[[], str]) -> _Batch:
        read = partial(read_events, make_event_id=make_event_id)
        headers: Headers = ()
        given = call.head.headers
        # Nearly every request is told from a CloudEvent by these two.
        if given.get(hdrs.CONTENT_TYPE) != _JSON or _CLOUD_EVENT in given:
            found = http_headers(given.items())
            if is_cloud_event(found):
                headers = found
                read = partial(read_cloud_events, headers=found, traced=self.tracer.is_on)
        events, single = read(
            call.body,
            environment_id=call.environment_id,
            now=now,
            zone=self.zone,
            catalogue=self.catalogues.published,
        )
        return _Batch(events, single, self.validation.misfits(events), headers)


def _is_binary_json(request: web.Request) -> bool:
    """Tell whether a request is a CloudEvent in binary mode whose data is JSON of some kind."""
    content_type = request.headers.get(hdrs.CONTENT_TYPE, "").lower()
    media_type = content_type.partition(";")[0].strip()
    is_json = media_type.endswith(("/json", "+json")) and is_one_of([media_type], content_type)
    return is_json and _CLOUD_EVENT in request.headers


def _render(call: ApiCall, batch: _Batch, published: Sequence[Published]) -> web.Response:
    """Answer for each event; what does not fit its schema is a warning."""
    if any(event.dropped for event in published):
        raise EnvironmentBeingErased(call.environment_id)
    shown: list[dict[str, object]] = [
        {"event_id": event.event_id, "duplicate": event.duplicate} for event in published
    ]
    for index, details in batch.misfits.items():
        if not published[index].duplicate:
            shown[index]["warnings"] = [detail._asdict() for detail in details]
    return json_response(_encode(shown[0] if batch.single else shown), ACCEPTED)
