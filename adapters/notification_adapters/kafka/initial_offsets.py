"""Where a group begins that has never consumed: at the end, if so wished."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError

from notification_adapters.kafka.client import started
from notification_adapters.kafka.connection import Brokers
from notification_core.errors import BrokersUnavailable
from notification_core.model.message import Topics

_TIMEOUT_SECONDS = 30.0


async def begin_at_end(brokers: Brokers, topics: Topics, group: str) -> None:
    """Commit the end of all partitions for a group that has committed nothing at all.

    The driver's own ``latest`` would do so for each partition that is new, and whenever an offset
    is gone: it would pass over messages that came while nobody looked.
    """
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            await _begin_at_end(brokers, topics, group)
    except (KafkaError, TimeoutError) as error:
        raise BrokersUnavailable(f"The group's offsets cannot be read: {error}") from error


async def _begin_at_end(brokers: Brokers, topics: Topics, group: str) -> None:
    consumer = AIOKafkaConsumer(group_id=group, enable_auto_commit=False, **brokers.options())
    async with started(consumer.start, consumer.stop):
        partitions = await _partitions(brokers, topics)
        consumer.assign(partitions)
        committed = [await consumer.committed(one) for one in partitions]
        if any(offset is not None for offset in committed):
            return
        # Where it fails, another member has begun at this moment, and has done it.
        with suppress(CommitFailedError):
            await consumer.commit(await consumer.end_offsets(partitions))


async def _partitions(brokers: Brokers, topics: Topics) -> Sequence[TopicPartition]:
    # Without a group a consumer is assigned all that there is.
    consumer = AIOKafkaConsumer(*topics.sources, **brokers.options())
    async with started(consumer.start, consumer.stop):
        return [*consumer.assignment()]
