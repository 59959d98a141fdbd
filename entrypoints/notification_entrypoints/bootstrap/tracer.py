"""Choosing the tracer: none, unless the settings say where spans go."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from structlog.contextvars import bound_contextvars

from notification_adapters.null_objects import NoTracer
from notification_core.errors import Detail, InvalidSettings
from notification_core.ports.tracer import Tracer
from notification_entrypoints.config.settings import Settings

_NOT_INSTALLED = (
    "OTEL_TRACES_EXPORTER or an endpoint of OTEL_EXPORTER_OTLP is set, but tracing is not "
    "installed: pip install 'notification-management[otel]', or set OTEL_SDK_DISABLED=true"
)


@asynccontextmanager
async def open_tracer(settings: Settings) -> AsyncIterator[Tracer]:
    """Trace as the settings say, for the length of the block; at its end the last spans are sent.

    Raises :class:`InvalidSettings` where that is not installed.
    """
    exporters = settings.otel.exporters
    if not exporters:
        yield NoTracer()
        return
    try:
        from notification_adapters.otel.exporters import open_provider  # noqa: PLC0415 - an extra
        from notification_adapters.otel.tracer import OpenTelemetryTracer  # noqa: PLC0415 - the same
    except ImportError as error:
        problem = Detail("OTEL_TRACES_EXPORTER", _NOT_INSTALLED)
        raise InvalidSettings(f"{_NOT_INSTALLED}.", [problem]) from error
    identity = {
        "deployment.environment.name": settings.env,
        "service.instance.id": settings.pod_name,
    }
    async with open_provider(exporters, settings.otel.protocol, identity) as provider:
        yield OpenTelemetryTracer(provider, lambda trace_id: bound_contextvars(trace_id=trace_id))
