"""What stands in a message: an event in our own form, or a CloudEvent."""

from datetime import UTC, datetime, tzinfo

from attrs import evolve

from notification_adapters.event_formats.cloudevents import is_cloud_event, read_cloud_event
from notification_adapters.event_formats.event_json import read_event
from notification_core.errors import Detail, InvalidEvent
from notification_core.model.event import Event
from notification_core.model.event_types import EventCatalogue
from notification_core.model.message import Message, identity_of
from notification_core.model.trace_context import parse_traceparent
from notification_core.ports.clock import Clock

_LATEST_MS = 253_402_300_800_000  # the year 10000


class MessageReader:
    """Makes events of a catalogue's types of messages; times without an offset are in a zone."""

    def __init__(
        self, clock: Clock, zone: tzinfo, catalogue: EventCatalogue, *, traced: bool = False
    ) -> None:
        self._traced = traced
        self._clock = clock
        self._zone = zone
        self._catalogue = catalogue

    def __call__(self, message: Message) -> Event:
        """Read one message, with its place in a trace if that is ``traced``.

        An event without an id gets one that is the same when the message is read again, one
        without a time happened when the message was produced. Raises :class:`InvalidEvent`, and
        :class:`TooLarge` beyond 1 MiB.
        """
        if message.value is None:
            problem = "The message has no value; an event is a JSON object."
            raise InvalidEvent(problem, [Detail("body", problem)])
        # The message's own time; now if its producer wrote what is none.
        at = (
            datetime.fromtimestamp(message.timestamp / 1000, UTC)
            if 0 <= message.timestamp < _LATEST_MS
            else self._clock.now()
        )
        if not self._traced:
            return self._read(message, message.value, at)
        headers = dict(message.headers)
        given = parse_traceparent((headers.get("traceparent") or b"").decode(errors="replace"))
        event = self._read(message, message.value, at)
        return evolve(event, traceparent=event.traceparent or given)

    def _read(self, message: Message, value: bytes, at: datetime) -> Event:
        if is_cloud_event(message.headers):
            return read_cloud_event(
                value,
                message.headers,
                environment_id=None,
                now=at,
                zone=self._zone,
                catalogue=self._catalogue,
                traced=self._traced,
            )
        return read_event(
            value,
            environment_id=None,
            now=at,
            zone=self._zone,
            catalogue=self._catalogue,
            make_event_id=lambda: str(identity_of(message)),
        )
