"""Spans of OpenTelemetry, as an exporter gets them."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from notification_adapters.otel.tracer import OpenTelemetryTracer
from notification_core.model.delivery import Attempt, AttemptResult, ClaimedDelivery
from notification_core.model.event import Arrival, Event, Source
from notification_core.model.trace_context import parse_traceparent
from notification_core.ports.observer import EventFollower
from notification_core.ports.tracer import SpanKind
from tests.support.assembly import MemoryApp
from tests.support.samples import an_event

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{SPAN}-01"


class Recorder:
    """A provider, and the spans of it that have ended."""

    def __init__(self) -> None:
        self.provider = TracerProvider(shutdown_on_exit=False)
        self._exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self._exporter.get_finished_spans()}


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def tracer(recorder: Recorder) -> OpenTelemetryTracer:
    return OpenTelemetryTracer(recorder.provider)


def test_a_span_belongs_to_its_parent_and_to_nothing_else(
    recorder: Recorder, tracer: OpenTelemetryTracer
) -> None:
    with tracer.start("outer", SpanKind.SERVER, GIVEN, {"n": 1}) as outer:
        assert tracer.current() == outer.traceparent
        with tracer.start("alone", SpanKind.CLIENT, None, {}, is_current=False) as alone:
            assert tracer.current() == outer.traceparent
            alone.note({"m": "2"})
    assert tracer.current() is None
    assert outer.traceparent is not None
    assert parse_traceparent(outer.traceparent) == outer.traceparent
    given, own = recorder.spans["outer"], recorder.spans["alone"]
    assert given.parent is not None
    assert (given.parent.trace_id, given.parent.span_id) == (int(TRACE, 16), int(SPAN, 16))
    assert given.parent.is_remote
    assert own.parent is None
    assert own.context.trace_id != given.context.trace_id
    assert (dict(given.attributes or {}), dict(own.attributes or {})) == ({"n": 1}, {"m": "2"})
    assert (given.kind, own.kind) == (trace.SpanKind.SERVER, trace.SpanKind.CLIENT)


@pytest.mark.parametrize("is_current", [True, False])
def test_an_error_is_named_and_not_quoted(
    recorder: Recorder, tracer: OpenTelemetryTracer, *, is_current: bool
) -> None:
    def fail() -> None:
        with tracer.start("failing", SpanKind.CLIENT, None, {}, is_current=is_current):
            raise ValueError("hunter2")

    with pytest.raises(ValueError, match="hunter2"):
        fail()
    span = recorder.spans["failing"]
    assert (span.status.status_code, span.status.description) == (
        trace.StatusCode.ERROR,
        "ValueError",
    )
    assert span.attributes == {"error.type": "ValueError"}
    assert "hunter2" not in span.to_json()


def test_what_is_left_out_by_a_sampler_keeps_its_place(recorder: Recorder) -> None:
    tracer = OpenTelemetryTracer(TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False))
    with tracer.start("a span", SpanKind.SERVER, GIVEN, {}) as span:
        assert span.traceparent is not None
        assert span.traceparent.startswith(f"00-{TRACE}-")
        assert span.traceparent.endswith(("-00", "-02"))
    assert not recorder.spans


def test_a_host_without_an_sdk_has_no_places() -> None:
    tracer = OpenTelemetryTracer(trace.NoOpTracerProvider())
    with tracer.start("a span", SpanKind.SERVER, None, {}) as span:
        assert span.traceparent is None


def test_log_lines_get_the_trace_of_the_current_span(recorder: Recorder) -> None:
    said: list[str] = []

    @contextmanager
    def log_context(trace_id: str) -> Iterator[None]:
        said.append(trace_id)
        yield
        said.append("over")

    tracer = OpenTelemetryTracer(recorder.provider, log_context)
    with tracer.start("a span", SpanKind.SERVER, GIVEN, {}):
        assert said == [TRACE]
        with tracer.start("aside", SpanKind.SERVER, None, {}, is_current=False):
            pass
    assert said == [TRACE, "over"]


class Whereabouts(EventFollower):
    """Notes in which span each step is taken."""

    def __init__(self, tracer: OpenTelemetryTracer) -> None:
        self.places: dict[str, str | None] = {}
        self._tracer = tracer

    def event_received(self, source: Source, event: Event) -> None:
        del source, event
        self.places["received"] = self._tracer.current()

    def event_stored(self, event: Event, arrival: Arrival, deliveries: int) -> None:
        del event, arrival, deliveries
        self.places["stored"] = self._tracer.current()

    def delivery_claimed(self, delivery: ClaimedDelivery) -> None:
        del delivery
        self.places["claimed"] = self._tracer.current()

    def attempt_started(self, delivery: ClaimedDelivery) -> None:
        del delivery
        self.places["started"] = self._tracer.current()

    def attempt_finished(self, attempt: Attempt) -> None:
        del attempt
        self.places["finished"] = self._tracer.current()

    def result_written(self, result: AttemptResult) -> None:
        del result
        self.places["written"] = self._tracer.current()


@pytest.mark.parametrize("alone", [True, False])
async def test_what_is_done_for_all_is_not_done_in_the_span_of_the_one_who_came_first(
    recorder: Recorder, tracer: OpenTelemetryTracer, *, alone: bool
) -> None:
    """A group commit, and the chain that sends, go on with the events of others."""
    app = MemoryApp(tracer=tracer)
    app.observer.follower = whereabouts = Whereabouts(tracer)
    webhook = await app.add_webhook()
    await app.dispatcher.start()
    ingest = app.another_process(direct_dispatch=app.dispatcher.runner).ingest
    with tracer.start("a request", SpanKind.SERVER, None, {}) as request:
        events = [an_event("given", traceparent=GIVEN)]
        await (ingest.take_in(events, []) if alone else ingest.publish(events))
        await app.until(lambda: whereabouts.places.keys() >= {"written"})
    await app.dispatcher.stop()
    assert app.sent_to(webhook)
    # Only what is stored alone is stored in the span of the one who asks for it.
    storing = request.traceparent if alone else None
    assert whereabouts.places == {
        "received": request.traceparent,
        "stored": storing,
        "claimed": storing,
        "started": None,
        "finished": None,
        "written": None,
    }
    attempt, ingested = recorder.spans["attempt"], recorder.spans["ingest"]
    for span in (attempt, ingested):
        assert span.parent is not None
        assert (span.parent.trace_id, span.parent.span_id) == (int(TRACE, 16), int(SPAN, 16))
