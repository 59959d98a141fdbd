"""Where spans go: a provider of OpenTelemetry's SDK, which reads its own variables.

What is chosen here is which exporters there are; the SDK and its exporters read ``OTEL_*`` for
endpoints, headers, certificates, sampling, batches, limits and what the service is called.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from importlib.metadata import entry_points
from typing import Final

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from notification_core.errors import Detail, InvalidSettings
from notification_core.version import VERSION

_GROUP: Final = "opentelemetry_traces_exporter"
_FLUSH: Final = timedelta(seconds=3)
"""How long the end of a process waits until the last spans are sent."""


@asynccontextmanager
async def open_provider(
    exporters: Sequence[str], protocol: str, identity: Mapping[str, str]
) -> AsyncIterator[TracerProvider]:
    """Send spans by these exporters, from a thread of their own, for the length of the block.

    ``otlp`` speaks the ``protocol``; any other name is that of an installed exporter.
    ``identity`` is what OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME do not say of the process.
    Nobody waits for a collector: what cannot be sent is dropped. Raises :class:`InvalidSettings`
    for an exporter that is not installed, or whose own variables it refuses.
    """
    made = [_exporter(name, protocol) for name in exporters]
    ours = {"service.name": "notification-management", "service.version": VERSION, **identity}
    # What the variables say comes last: it stands.
    named = Resource.create(ours).merge(OTELResourceDetector().detect())
    # Without its own handler at the exit of the process, which may wait for a collector.
    provider = TracerProvider(resource=named, shutdown_on_exit=False)
    for exporter in made:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield provider
    finally:
        await _shut_down(provider)


def _exporter(name: str, protocol: str) -> SpanExporter:
    variable = "OTEL_TRACES_EXPORTER"
    installed = {each.name: each for each in entry_points(group=_GROUP)}
    wanted = name
    if name == "otlp":
        wanted = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
        variable = "OTEL_EXPORTER_OTLP_PROTOCOL"
    if wanted not in installed:
        available = ", ".join(sorted(installed))
        package = f"opentelemetry-exporter-{wanted.replace('_', '-')}"
        problem = (
            f"{variable} asks for the exporter {wanted!r}, which is not installed; install its "
            f"package, perhaps {package}, or choose among {available}, none"
        )
        raise InvalidSettings(f"The settings are refused: {problem}.", [Detail(variable, problem)])
    try:
        exporter: SpanExporter = installed[wanted].load()()
    except Exception as error:
        # Not what it says: it may repeat a header with a token.
        problem = (
            f"the exporter {wanted!r} refuses its variables ({type(error).__name__}); check those "
            "that begin with OTEL_EXPORTER_OTLP_"
        )
        raise InvalidSettings(f"{problem}.", [Detail(variable, problem)]) from error
    return exporter


async def _shut_down(provider: TracerProvider) -> None:
    """Send what waits, as far as there is a moment for it.

    In a thread that does not keep the process from ending: an exporter tries again for longer.
    """
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def shut_down() -> None:
        provider.shutdown()
        with suppress(RuntimeError):  # the loop may have ended meanwhile
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=shut_down, name="otel-shutdown", daemon=True).start()
    with suppress(TimeoutError):
        async with asyncio.timeout(_FLUSH.total_seconds()):
            await done.wait()
