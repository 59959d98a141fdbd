"""Tracing at the edge of the API: publishing is a span, in the trace that the publisher names."""

from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler as Next
from aiohttp.typedefs import Middleware

from notification_core.model.trace_context import parse_traceparent
from notification_core.ports.tracer import SpanKind, Tracer

TRACEPARENT: Final = web.RequestKey("traceparent", str)
"""Where the events of a request stand that have no place in a trace of their own."""

_PUBLISH: Final = "publishEvents"
_SERVER_ERROR: Final = 500


def publish_spans(tracer: Tracer) -> Middleware:
    """Return what records each request that publishes, from its first header to its response."""

    @web.middleware
    async def handle(request: web.Request, handler: Next) -> web.StreamResponse:
        route = request.match_info.route
        if route.name != _PUBLISH or route.resource is None:
            return await handler(request)
        headers = request.headers.getall("traceparent", [])
        # Of several, nobody knows which one holds (Trace Context, section 3.2.2.5).
        given = parse_traceparent(headers[0]) if len(headers) == 1 else None
        given = given or tracer.current()
        attributes = {
            "http.request.method": request.method,
            "http.route": route.resource.canonical,
            "url.scheme": request.url.scheme,
            "notification.source": "http",
        }
        with tracer.start("publish", SpanKind.SERVER, given, attributes) as span:
            if place := given or span.traceparent:
                request[TRACEPARENT] = place
            response = await handler(request)
            span.note({"http.response.status_code": response.status})
            if response.status >= _SERVER_ERROR:
                span.note({"error.type": str(response.status)})
                span.fail(str(response.status))
            return response

    return handle
