"""What a process with Kafka does beside: events come in from its topics, messages go out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from attrs import field, frozen

from notification_adapters.kafka.config import Brokers, ConsumerConfig, SaslCredentials
from notification_adapters.kafka.message_reader import MessageReader
from notification_core.ingest.consumer import EventConsumer
from notification_core.maintenance.outbox_relay import OutboxRelay
from notification_core.model.event import Source
from notification_core.model.message import Topics
from notification_core.ports.event_source import EventSource
from notification_entrypoints.bootstrap.application import Application
from notification_entrypoints.config.settings import Settings, variables
from notification_entrypoints.serving.background import in_background

_FINISH = timedelta(seconds=2)
"""How long what is in hand may take to be stored when the process stops."""


@frozen
class KafkaParts:
    """Events that come in; ``checks`` are those of what they come from.

    Without Kafka there are none, and nothing happens.
    """

    checks: Mapping[str, Callable[[], Awaitable[None]]] = field(factory=dict)
    stop: Callable[[], None] = lambda: None


@asynccontextmanager
async def open_kafka(application: Application) -> AsyncIterator[KafkaParts]:
    """Take events from Kafka and send what is in the outbox, for the length of the block.

    It waits for no broker. At the end, or once it is told to stop, nothing more is taken; what is
    in hand is stored, and its offsets are committed.
    """
    settings, topics = application.settings, application.settings.kafka.topic_names
    if topics is None:
        yield KafkaParts()
        return
    from notification_adapters.kafka.event_source import open_source  # noqa: PLC0415 - only where needed
    from notification_adapters.kafka.message_sink import KafkaSink  # noqa: PLC0415 - the same

    brokers = brokers_of(settings)
    async with AsyncExitStack() as stack:
        sink = KafkaSink(brokers, topics, settings.kafka.topic_replication_factor)
        relay = OutboxRelay(
            worker=application.ids(),
            outbox=application.storage.outbox,
            sink=sink,
            clock=application.clock,
            observer=application.metrics,
            poll_interval=settings.webhooks.poll_interval,
        )
        stack.push_async_callback(relay.release)
        stack.push_async_callback(sink.close)
        await stack.enter_async_context(in_background(relay.run()))
        source = await stack.enter_async_context(
            open_source(
                *(brokers, consumer_config(settings, topics)),
                *(application.clock, application.metrics),
            )
        )
        application.metrics.observe_lag(source.lag)
        consumer = await stack.enter_async_context(_open_consumer(application, source))
        yield KafkaParts({"event source": source.check}, consumer.stop)


@asynccontextmanager
async def watch_lag(application: Application) -> AsyncIterator[None]:
    """Show how far the consumers are behind, for the length of the block.

    Of a process that is not one of them: all of these may be down.
    """
    settings, topics = application.settings, application.settings.kafka.topic_names
    # Unlike a consumer it may do without Kafka: only where somebody has said where that is.
    if topics is None or settings.kafka.brokers == variables()["KAFKA_BROKERS"].default_value:
        yield
        return
    from notification_adapters.kafka.group_lag import GroupLag  # noqa: PLC0415 - only where needed

    config = consumer_config(settings, topics)
    group = GroupLag(brokers_of(settings), config, application.clock, application.metrics)
    application.metrics.observe_lag(group.lag)
    async with in_background(group.run()):
        yield


@asynccontextmanager
async def _open_consumer(
    application: Application, source: EventSource
) -> AsyncIterator[EventConsumer]:
    """Ingest what comes from a source, for the length of the block."""
    settings, traced = application.settings, application.tracer.is_on
    consumer = EventConsumer(
        source=source,
        ingest=application.ingests[Source.KAFKA],
        read=MessageReader(application.clock, settings.tz, settings.event.catalogue, traced=traced),
        validation=application.validation,
        clock=application.clock,
        observer=application.metrics,
    )
    async with in_background(consumer.run()) as running:
        try:
            yield consumer
        finally:
            consumer.stop()
            await asyncio.wait([running], timeout=_FINISH.total_seconds())


def brokers_of(settings: Settings) -> Brokers:
    """Return what the settings say of the brokers."""
    return Brokers(
        addresses=settings.kafka.brokers,
        protocol=settings.kafka.security_protocol,
        credentials=SaslCredentials(
            mechanism=settings.kafka.sasl_mechanism,
            username=settings.kafka.sasl_username,
            password=settings.kafka.sasl_password,
            ca=settings.kafka.ssl_ca_location,
            certificate=settings.kafka.ssl_certificate_location,
            key=settings.kafka.ssl_key_location,
            key_password=settings.kafka.ssl_key_password,
        ),
    )


def consumer_config(settings: Settings, topics: Topics) -> ConsumerConfig:
    """Return what the settings say of consuming."""
    return ConsumerConfig(
        topics=topics,
        replication_factor=settings.kafka.topic_replication_factor,
        fetch_bytes=settings.kafka.consumer_fetch_bytes,
        fetch_wait=settings.kafka.consumer_fetch_frequency,
        start=settings.kafka.consumer_start,
    )
