"""The operations on events: which there are, and publishing them."""

from collections.abc import Callable
from datetime import tzinfo
from uuid import UUID

import msgspec
from aiohttp import web
from attrs import frozen

from notification_adapters.converters import ApiConverter
from notification_adapters.messages import read_events
from notification_core.catalogue import CATALOGUE
from notification_core.ingest import Ingest, Published
from notification_core.ports.clock import Clock
from notification_entrypoints.api.answers import ACCEPTED, json_answer
from notification_entrypoints.api.calls import Call

_encode = msgspec.json.encode


@frozen
class EventOperations:
    """Lists the event types and publishes events.

    Publishing is the hot path: the body goes to the reader of messages as it came, which judges
    it once, and past the validator and the converter.
    """

    ingest: Ingest
    clock: Clock
    ids: Callable[[], UUID]
    zone: tzinfo
    converter: ApiConverter

    async def types(self, _: Call) -> web.Response:
        """Answer with the catalogue."""
        return json_answer(self.converter.dump(list(CATALOGUE.values())))

    async def publish(self, call: Call) -> web.Response:
        """Publish one event or a batch."""
        events, single = read_events(
            call.body,
            environment_id=call.parameters.id("environment_id"),
            now=self.clock.now(),
            zone=self.zone,
            make_event_id=self._make_event_id,
        )
        published = await self.ingest.publish(events)
        answers = [_answer(each) for each in published]
        return json_answer(_encode(answers[0] if single else answers), ACCEPTED)

    def _make_event_id(self) -> str:
        return str(self.ids())


def _answer(published: Published) -> dict[str, str | bool]:
    return {"event_id": published.event_id, "duplicate": published.duplicate}
