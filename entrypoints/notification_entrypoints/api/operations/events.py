"""The operations on events: which there are, and publishing them."""

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, tzinfo
from functools import partial
from itertools import filterfalse
from typing import Final, Protocol

import msgspec
from aiohttp import web
from attrs import evolve, field, frozen

from notification_adapters.converters import ApiConverter
from notification_adapters.event_formats.data_schemas import DataSchemas
from notification_adapters.event_formats.event_json import read_events
from notification_core.concurrency.ids import IdGenerator
from notification_core.errors import EnvironmentBeingErased, InvalidInput
from notification_core.ingest.ingest import Ingest, Published
from notification_core.model.event import Event
from notification_core.ports.clock import Clock
from notification_entrypoints.api.endpoint import ACCEPTED, ApiCall, Handler, json_response
from notification_entrypoints.api.idempotency import Idempotency

_encode = msgspec.json.encode

_READ_AT_ONCE: Final = 128 * 1024
"""More bytes than that are read in a thread: it may take long, and others are served meanwhile."""


class IngestMetrics(Protocol):
    """Who counts what came in and was not as it should be."""

    @abstractmethod
    def events_rejected(self, count: int) -> None:
        """Count events that were refused."""

    @abstractmethod
    def data_schema_mismatched(self, event_type: str) -> None:
        """Count an event whose data does not match its schema."""


@frozen
class EventOperations:
    """Lists the event types and publishes events.

    Publishing is the hot path: the body goes to the reader of messages as it came, which judges
    it once, and past the validator and the converter.
    """

    ingest: Ingest
    idempotency: Idempotency
    schemas: DataSchemas
    metrics: IngestMetrics
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
            "publishEvents": Handler(self.publish, parses_body=True),
        }

    async def types(self, _: ApiCall) -> web.Response:
        """Answer with the catalogue."""
        return json_response(self.converter.dump(list(self.schemas.catalogue.types.values())))

    async def publish(self, call: ApiCall) -> web.Response:
        """Publish one event or a batch.

        Events that are refused are counted, and those whose data does not match their schema.
        """
        now = self.clock.now()
        try:
            if len(call.body) <= _READ_AT_ONCE:
                events, single, mismatched = self._read(call, now, lambda: str(self.ids(now)))
            else:
                loop = asyncio.get_running_loop()
                read, single, mismatched = await loop.run_in_executor(
                    self._reader, self._read, call, now, str
                )
                # Missing ids are made here: what makes them is not for two threads at a time.
                events = [
                    event if event.event_id else evolve(event, event_id=str(self.ids(now)))
                    for event in read
                ]
        except InvalidInput as error:
            # In a batch, what is wrong with ``[3].event`` is wrong with ``[3]``.
            parts = [detail.field.partition(".") for detail in error.details]
            rejected = {place if place.startswith("[") else "" for place, _, _ in parts}
            self.metrics.events_rejected(len(rejected))
            raise
        for event in mismatched:
            self.metrics.data_schema_mismatched(event.type)
        publish = partial(self.ingest.publish, events)
        return await self.idempotency.respond_once(
            call, publish, partial(_render, call, single=single)
        )

    def _read(
        self, call: ApiCall, now: datetime, make_event_id: Callable[[], str]
    ) -> tuple[list[Event], bool, Sequence[Event]]:
        """Return the events, whether it is a single one, and those that do not fit their schema."""
        events, single = read_events(
            call.body,
            environment_id=call.environment_id,
            now=now,
            zone=self.zone,
            catalogue=self.schemas.catalogue,
            make_event_id=make_event_id,
        )
        return events, single, [*filterfalse(self.schemas.fits, events)]


def _render(call: ApiCall, published: Sequence[Published], *, single: bool) -> web.Response:
    if any(event.dropped for event in published):
        raise EnvironmentBeingErased(call.environment_id)
    shown = [{"event_id": event.event_id, "duplicate": event.duplicate} for event in published]
    return json_response(_encode(shown[0] if single else shown), ACCEPTED)
