"""Tracing with OpenTelemetry: spans of its API, on the provider of our own or of a host."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

from opentelemetry import trace

from notification_core.model.trace_context import trace_id_of
from notification_core.ports.tracer import AttributeValue, Span, SpanKind, Tracer
from notification_core.version import VERSION

_KINDS: Mapping[SpanKind, trace.SpanKind] = {
    SpanKind.SERVER: trace.SpanKind.SERVER,
    SpanKind.PRODUCER: trace.SpanKind.PRODUCER,
    SpanKind.CONSUMER: trace.SpanKind.CONSUMER,
    SpanKind.INTERNAL: trace.SpanKind.INTERNAL,
    SpanKind.CLIENT: trace.SpanKind.CLIENT,
}

LogContext = Callable[[str], AbstractContextManager[object]]
"""Has the log lines of a block carry a trace's id."""


class OpenTelemetrySpan(Span):
    """A span of OpenTelemetry, which may be one that its sampler left out."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self.traceparent = _traceparent(span.get_span_context())

    def note(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Say more of the work."""
        self._span.set_attributes(attributes)

    def fail(self, reason: str) -> None:
        """Say that the work has failed."""
        self._span.set_status(trace.StatusCode.ERROR, reason)


class OpenTelemetryTracer(Tracer):
    """Records spans with a provider's tracer; what happens to them is the provider's matter.

    A host that embeds this passes the provider that it has.
    """

    is_on = True

    def __init__(
        self, provider: trace.TracerProvider, log_context: LogContext = lambda _: nullcontext()
    ) -> None:
        self._tracer = provider.get_tracer("notification-management", VERSION)
        self._log_context = log_context

    def current(self) -> str | None:
        """Return the place of the span that the caller works in; a host's counts, too."""
        return _traceparent(trace.get_current_span().get_span_context())

    @contextmanager
    def start(
        self,
        name: str,
        kind: SpanKind,
        parent: str | None,
        attributes: Mapping[str, AttributeValue],
        *,
        is_current: bool = True,
    ) -> Iterator[Span]:
        """Record the block as a span that belongs to ``parent``; with None it begins a trace."""
        # Never the context that a task happens to have been created in.
        context = trace.set_span_in_context(trace.INVALID_SPAN if parent is None else _span(parent))
        span = self._tracer.start_span(name, context, _KINDS[kind], attributes)
        recorded = OpenTelemetrySpan(span)
        try:
            with ExitStack() as stack:
                if is_current:
                    stack.enter_context(
                        trace.use_span(span, record_exception=False, set_status_on_exception=False)
                    )
                    if recorded.traceparent is not None:
                        trace_id = trace_id_of(recorded.traceparent)
                        stack.enter_context(self._log_context(trace_id))
                yield recorded
        except BaseException as error:
            # Its name only: what an error says may be the customer's, and goes to others here.
            span.set_attribute("error.type", type(error).__name__)
            recorded.fail(type(error).__name__)
            raise
        finally:
            span.end()


def _span(traceparent: str) -> trace.Span:
    _, trace_id, span_id, flags = traceparent.split("-")
    trace_flags = trace.TraceFlags(int(flags, 16))
    ids = int(trace_id, 16), int(span_id, 16)
    return trace.NonRecordingSpan(trace.SpanContext(*ids, is_remote=True, trace_flags=trace_flags))


def _traceparent(context: trace.SpanContext) -> str | None:
    if not context.is_valid:
        return None
    trace_id, span_id = context.trace_id, context.span_id
    return f"00-{trace_id:032x}-{span_id:016x}-{context.trace_flags:02x}"
