"""What a process with Kafka does beside: events come in from its topics, messages go out."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from attrs import field, frozen

from notification_entrypoints.bootstrap.application import Application
from notification_entrypoints.config.settings import Settings
from notification_entrypoints.observability.metrics import Metrics
from notification_entrypoints.ops.server import Check


@frozen
class KafkaParts:
    """Events that come in; ``parts`` are the checks of what they come from.

    Without Kafka there are none, and nothing happens.
    """

    parts: Mapping[str, Check] = field(factory=dict)
    stop: Callable[[], None] = lambda: None


@asynccontextmanager
async def open_consuming(
    settings: Settings, service: Application, watch: Metrics
) -> AsyncIterator[KafkaParts]:
    """Take events from Kafka and send what is in the outbox, for the length of the block.

    It waits for no broker. At the end, or once it is told to stop, nothing more is taken; what is
    in hand is stored, and its offsets are committed.
    """
    if settings.topics is None:
        yield KafkaParts()
        return
    from notification_entrypoints.bootstrap.kafka import working  # noqa: PLC0415 - only where needed

    async with working(settings, settings.topics, service, watch) as (source, consume):
        yield KafkaParts({"event source": source.check}, consume.stop)
