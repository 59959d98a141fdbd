"""Members of a consumer group on a real Kafka, for tests of what is special to it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from notification_adapters.clock import SystemClock
from notification_adapters.kafka.config import Brokers, ConsumerConfig
from notification_adapters.kafka.event_source import KafkaSource, open_source
from notification_core.errors import BrokersUnavailable
from notification_core.model.message import Message, Topics
from tests.kafka.topics import Kafka
from tests.support.observers import RecordingObserver
from tests.support.waiting import PATIENCE


@asynccontextmanager
async def member(
    kafka: Kafka,
    brokers: Brokers | None = None,
    observer: RecordingObserver | None = None,
    **wanted: Any,
) -> AsyncIterator[KafkaSource]:
    """Join the test's group, and leave it at the end."""
    config = ConsumerConfig(
        Topics(kafka.prefix),
        fetch_wait=timedelta(milliseconds=20),
        group=kafka.group,
        **wanted,
    )
    brokers = brokers or Brokers(kafka.addresses)
    async with open_source(
        brokers, config, SystemClock(), observer or RecordingObserver()
    ) as source:
        yield source


async def taken(source: KafkaSource, count: int) -> Sequence[Message]:
    """Take and acknowledge until there are so many."""
    found: list[Message] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            found += (batch := await source.take())
            await source.acknowledge(batch)
    return found


async def is_well(source: KafkaSource) -> bool:
    """Tell whether events can come."""
    return not await problem_of(source)


async def problem_of(source: KafkaSource) -> str:
    """Return why no events come; nothing if they do."""
    try:
        await source.check()
    except BrokersUnavailable as error:
        return str(error)
    return ""


def values(messages: Sequence[Message]) -> Sequence[bytes | None]:
    """Return what the messages say."""
    return [message.value for message in messages]
