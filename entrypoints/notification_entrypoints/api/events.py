"""The operations on events: which there are, and publishing them."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import tzinfo
from typing import Protocol
from uuid import UUID

import msgspec
from aiohttp import web
from attrs import frozen

from notification_adapters.converters import ApiConverter
from notification_adapters.messages import read_events
from notification_adapters.schemas import DataSchemas
from notification_core.catalogue import CATALOGUE
from notification_core.errors import EnvironmentBeingErased, InvalidInput
from notification_core.events import Event
from notification_core.ingest import Ingest, Published
from notification_core.ports.clock import Clock
from notification_entrypoints.api.answers import ACCEPTED, json_answer
from notification_entrypoints.api.calls import Call
from notification_entrypoints.api.idempotency import Idempotency
from notification_entrypoints.api.turns import in_turns

_encode = msgspec.json.encode


class Tally(Protocol):
    """Who counts what came in and was not as it should be."""

    @abstractmethod
    def events_refused(self, count: int) -> None:
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
    tally: Tally
    clock: Clock
    ids: Callable[[], UUID]
    zone: tzinfo
    converter: ApiConverter

    async def types(self, _: Call) -> web.Response:
        """Answer with the catalogue."""
        return json_answer(self.converter.dump(list(CATALOGUE.values())))

    async def publish(self, call: Call) -> web.Response:
        """Publish one event or a batch."""
        events, single = await self._read(call)
        environment_id = call.environment_id

        def shown(published: Sequence[Published]) -> web.Response:
            if any(each.dropped for each in published):
                raise EnvironmentBeingErased(environment_id)
            answers = [_answer(each) for each in published]
            return json_answer(_encode(answers[0] if single else answers), ACCEPTED)

        return await self.idempotency.once(
            call, environment_id, lambda keep: self.ingest.publish(events, keep), shown
        )

    async def _read(self, call: Call) -> tuple[list[Event], bool]:
        """Read the events; count those that are refused and those that do not fit their schema."""
        mismatched: list[str] = []
        try:
            reading, single = read_events(
                call.body,
                environment_id=call.environment_id,
                now=self.clock.now(),
                zone=self.zone,
                make_event_id=self._make_event_id,
            )
            read = await in_turns(self._checked(reading, mismatched))
        except InvalidInput as error:
            self.tally.events_refused(len({_index(each.field) for each in error.details}))
            raise
        for event_type in mismatched:
            self.tally.data_schema_mismatched(event_type)
        return [event for event in read if event is not None], single

    def _checked(
        self, events: Iterable[Event | None], mismatched: list[str]
    ) -> Iterator[Event | None]:
        for event in events:
            if event is not None and not self.schemas.fits(event):
                mismatched.append(event.type)
            yield event

    def _make_event_id(self) -> str:
        return str(self.ids())


def _index(field: str) -> str:
    """Return which event of a batch a detail is about: ``[3]`` of ``[3].event``."""
    return field.partition(".")[0] if field.startswith("[") else ""


def _answer(published: Published) -> dict[str, str | bool]:
    return {"event_id": published.event_id, "duplicate": published.duplicate}
