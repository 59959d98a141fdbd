"""An OpenTelemetry collector on loopback: takes spans over OTLP/HTTP, and remembers them."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from aiohttp import web
from attrs import field, frozen
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.support.receivers import LOOPBACK
from tests.support.waiting import until


@frozen
class CollectedSpan:
    """A span as a collector got it; ids are in hex, ``parent_id`` is empty for none."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    has_failed: bool
    attributes: Mapping[str, object]
    resource: Mapping[str, object] = field(repr=False)


class Collector:
    """An HTTP server that takes ``POST /v1/traces``; its ``headers`` are those of the last one."""

    def __init__(self) -> None:
        self.spans: list[CollectedSpan] = []
        self.headers: Mapping[str, str] = {}
        self.port = 0
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        self._runner = web.AppRunner(app)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, 0).start()
        _, self.port = self._runner.addresses[0]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    @property
    def settings(self) -> Mapping[str, str]:
        """Variables that have a process send its spans here, soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{LOOPBACK}:{self.port}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }

    def named(self, name: str) -> Sequence[CollectedSpan]:
        """Return the spans with a name, in the order in which they ended."""
        return [span for span in self.spans if span.name == name]

    async def wait_for(self, **counts: int) -> None:
        """Return once there are so many spans of each name."""

        async def are_there() -> bool:
            return all(len(self.named(name)) >= count for name, count in counts.items())

        await until(f"there are spans: {counts}", are_there)

    async def _take(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/x-protobuf"
        self.headers = dict(request.headers)
        message = ExportTraceServiceRequest.FromString(await request.read())
        for of_resource in message.resource_spans:
            resource = _values(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                assert of_scope.scope.name == "notification-management"
                self.spans += [_collected(span, resource) for span in of_scope.spans]
        body = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=body, content_type="application/x-protobuf")


def _collected(span: SpanMessage, resource: Mapping[str, object]) -> CollectedSpan:
    return CollectedSpan(
        name=span.name,
        kind=SpanMessage.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        has_failed=span.status.code == Status.STATUS_CODE_ERROR,
        attributes=_values(span.attributes),
        resource=resource,
    )


def _values(attributes: Sequence[KeyValue]) -> Mapping[str, object]:
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value")
        for pair in attributes
    }
