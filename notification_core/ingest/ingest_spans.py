"""Tracing of ingest: a span in each trace that the events of a batch belong to."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from attrs import evolve

from notification_core.model.event import Event, Source
from notification_core.model.trace_context import trace_id_of
from notification_core.ports.tracer import SpanKind, Tracer


def with_trace(events: Sequence[Event], traceparent: str | None) -> Sequence[Event]:
    """Return events that all have a place in a trace: their own, or this one."""
    return [
        event if event.traceparent else evolve(event, traceparent=traceparent) for event in events
    ]


@contextmanager
def ingest_spans(
    tracer: Tracer, source: Source, events: Sequence[Event]
) -> Iterator[Sequence[Event]]:
    """Record the block as a span in each trace; give the events, each with its place in a trace.

    An event whose publisher has said nothing begins a trace with its span.
    """
    kind = SpanKind.CONSUMER if source is Source.KAFKA else SpanKind.INTERNAL
    current, parents, traced = tracer.current(), set[str](), list[Event]()
    with ExitStack() as stack:
        for event in events:
            parent, traceparent = event.traceparent, event.traceparent
            if parent is None or parent not in parents:
                if parent is not None:
                    parents.add(parent)
                    if current and trace_id_of(current) == trace_id_of(parent):
                        parent = current
                attributes = {
                    "messaging.batch.message_count": len(events),
                    "notification.source": source.value,
                    "notification.event_id": event.event_id,
                    "notification.event_type": event.type,
                    "notification.environment_id": str(event.environment_id),
                }
                span = tracer.start("ingest", kind, parent, attributes, is_current=False)
                started = stack.enter_context(span)
                traceparent = traceparent or started.traceparent
            traced.append(evolve(event, traceparent=traceparent))
        yield traced
