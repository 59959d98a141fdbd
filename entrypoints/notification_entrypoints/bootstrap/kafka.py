"""A process at work on Kafka: what it consumes, what it relays, and how it is told of both."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from notification_adapters.event_formats.data_schemas import DataSchemas
from notification_adapters.kafka.connection import Brokers, SaslCredentials
from notification_adapters.kafka.consumer_config import ConsumerConfig
from notification_adapters.kafka.event_source import KafkaSource, open_source
from notification_adapters.kafka.message_reader import MessageReader
from notification_adapters.kafka.message_sink import KafkaSink
from notification_core.ingest.consumer import EventConsumer, Read
from notification_core.maintenance.outbox_relay import OutboxRelay
from notification_core.model.event import Event, Source
from notification_core.model.event_types import EVENT_TYPES
from notification_core.model.message import Message
from notification_core.model.topics import Topics
from notification_core.ports.event_source import EventSource
from notification_entrypoints.bootstrap.application import Application
from notification_entrypoints.config.settings import Settings
from notification_entrypoints.observability.metrics import Metrics

_FINISH = timedelta(seconds=2)
"""How long what is in hand may take to be stored when the process stops."""


@asynccontextmanager
async def working(
    settings: Settings, topics: Topics, service: Application, watch: Metrics
) -> AsyncIterator[tuple[KafkaSource, EventConsumer]]:
    """Take in events and send messages for the length of the block."""
    brokers = brokers_of(settings)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_relaying(settings, brokers, topics, service, watch))
        source = await stack.enter_async_context(
            open_source(brokers, consumption_of(settings, topics), service.clock, watch)
        )
        watch.observe_lag(source.lag)
        consume = await stack.enter_async_context(_consuming(settings, source, service, watch))
        yield source, consume


@asynccontextmanager
async def _consuming(
    settings: Settings, source: EventSource, service: Application, watch: Metrics
) -> AsyncIterator[EventConsumer]:
    read = MessageReader(service.clock, settings.tz)
    consume = EventConsumer(
        source=source,
        ingest=service.ingests[Source.KAFKA],
        read=_counting(read, DataSchemas(EVENT_TYPES), watch),
        clock=service.clock,
        observer=watch,
    )
    running = asyncio.create_task(consume.run())
    try:
        yield consume
    finally:
        consume.stop()
        await asyncio.wait([running], timeout=_FINISH.total_seconds())
        await _cancelled(running)


@asynccontextmanager
async def _relaying(
    settings: Settings, brokers: Brokers, topics: Topics, service: Application, watch: Metrics
) -> AsyncIterator[None]:
    sink = KafkaSink(brokers, topics, settings.kafka_topic_replication_factor)
    relay = OutboxRelay(
        worker=service.ids(),
        outbox=service.storage.outbox,
        sink=sink,
        clock=service.clock,
        observer=watch,
        poll_interval=settings.webhooks_poll_interval,
    )
    relaying = asyncio.create_task(relay.run())
    try:
        yield
    finally:
        await _cancelled(relaying)
        await sink.close()
        await relay.release()


def brokers_of(settings: Settings) -> Brokers:
    """Return what the settings say of the brokers."""
    return Brokers(
        addresses=settings.kafka_brokers,
        protocol=settings.kafka_security_protocol,
        credentials=SaslCredentials(
            mechanism=settings.kafka_sasl_mechanism,
            username=settings.kafka_sasl_username,
            password=settings.kafka_sasl_password,
            ca=settings.kafka_ssl_ca_location,
            certificate=settings.kafka_ssl_certificate_location,
            key=settings.kafka_ssl_key_location,
            key_password=settings.kafka_ssl_key_password,
        ),
    )


def consumption_of(settings: Settings, topics: Topics) -> ConsumerConfig:
    """Return what the settings say of consuming."""
    return ConsumerConfig(
        topics=topics,
        replication_factor=settings.kafka_topic_replication_factor,
        fetch_bytes=settings.kafka_consumer_fetch_bytes,
        fetch_wait=settings.kafka_consumer_fetch_frequency,
        start=settings.kafka_consumer_start,
    )


def _counting(read: Callable[[Message], Event], schemas: DataSchemas, watch: Metrics) -> Read:
    """Have events counted whose data surprises; they are taken in all the same."""

    def read_and_count(message: Message) -> Event:
        event = read(message)
        if not schemas.fits(event):
            watch.data_schema_mismatched(event.type)
        return event

    return read_and_count


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
