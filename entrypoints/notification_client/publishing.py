"""Cutting events into requests that the API takes: at most 500 events and 8 MiB each."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from http import HTTPStatus
from typing import Final, NamedTuple
from uuid import UUID, uuid4

import msgspec

from notification_client.errors import ApiRefused, FieldError
from notification_client.models import NewEvent, PublishedEvent
from notification_client.transport import Transport, to_json

MAX_EVENTS: Final = 500
MAX_BYTES: Final = 8 * 1024 * 1024

_published = msgspec.json.Decoder(list[PublishedEvent])


class Stored(NamedTuple):
    """How many of the next events are stored, and the response to their request."""

    events: int
    response: bytes


async def publish(
    transport: Transport,
    environment_id: UUID,
    events: Iterable[NewEvent] | AsyncIterable[NewEvent],
) -> AsyncIterator[PublishedEvent]:
    """Yield what happened to each event, in their order; raise as :func:`publish_encoded` does."""
    encoded = (to_json(_identified(event)) async for event in _each(events))
    async for stored in publish_encoded(transport, environment_id, encoded):
        for published in _published.decode(stored.response):
            yield published


async def publish_encoded(
    transport: Transport, environment_id: UUID, events: AsyncIterable[bytes]
) -> AsyncIterator[Stored]:
    """Publish events that are JSON already, each with an id; yield each request once it is stored.

    A request is stored whole or not at all. Raises :class:`ApiRefused`, whose ``events`` and
    details name the places in ``events``; what was yielded before is stored.
    """
    path, first = f"/environments/{environment_id}/events", 0
    async for batch in _batches(events):
        parts = [batch]
        while parts:
            part = parts.pop()
            try:
                response = await transport.request("POST", path, b"[" + b",".join(part) + b"]")
            except ApiRefused as refused:
                if refused.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE or len(part) == 1:
                    raise _with_places(refused, first, len(part)) from refused
                # Too many bytes, or too many deliveries together: its halves may fit.
                half = len(part) // 2
                parts += part[half:], part[:half]
            else:
                yield Stored(len(part), response.body)
                first += len(part)


async def _batches(events: AsyncIterable[bytes]) -> AsyncIterator[list[bytes]]:
    batch: list[bytes] = []
    size = len(b"[]") - len(b",")
    async for event in events:
        if batch and (len(batch) == MAX_EVENTS or size + len(b",") + len(event) > MAX_BYTES):
            yield batch
            batch, size = [], len(b"[]") - len(b",")
        batch.append(event)
        size += len(b",") + len(event)
    if batch:
        yield batch


def _with_places(refused: ApiRefused, first: int, count: int) -> ApiRefused:
    """Return a refusal whose details count from the first event that was handed in."""
    details = []
    for detail in refused.details:
        index, bracket, rest = detail.field.removeprefix("[").partition("]")
        field = detail.field
        if detail.field.startswith("[") and bracket and index.isdigit():
            field = f"[{first + int(index)}]{rest}"
        details.append(FieldError(field, detail.message))
    said = refused.status, refused.code, refused.message, details, refused.request_id
    return type(refused)(*said, events=range(first, first + count))


def _identified(event: NewEvent) -> NewEvent:
    if event.event_id is not None:
        return event
    return msgspec.structs.replace(event, event_id=str(uuid4()))


async def _each(events: Iterable[NewEvent] | AsyncIterable[NewEvent]) -> AsyncIterator[NewEvent]:
    if isinstance(events, AsyncIterable):
        async for event in events:
            yield event
    else:
        for event in events:
            yield event
