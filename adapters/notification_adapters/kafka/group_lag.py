"""How far the consumers are behind, as the brokers know it: also while none of them runs."""

import asyncio
from collections.abc import Mapping
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from notification_adapters.kafka.client import started
from notification_adapters.kafka.config import Brokers, ConsumerConfig
from notification_core.errors import BrokersUnavailable
from notification_core.ports.clock import Clock
from notification_core.ports.observer import Observer

MEASURED_SECONDS: Final = 15.0
_TIMEOUT_SECONDS: Final = 10.0


class GroupLag:
    """Measures the lag of a group without being in it, from time to time."""

    def __init__(
        self, brokers: Brokers, config: ConsumerConfig, clock: Clock, observer: Observer
    ) -> None:
        self._brokers = brokers
        self._topics = config.topics.sources
        self._group = config.group
        self._clock = clock
        self._observer = observer
        self._lag: Mapping[tuple[str, int], int] = {}

    def lag(self) -> Mapping[tuple[str, int], int]:
        """Return how many messages of each partition are not committed; nothing if unknown."""
        return self._lag

    async def run(self) -> None:
        """Measure for ever; ends by being cancelled."""
        while True:
            try:
                await self._measure_repeatedly()
            except (KafkaError, BrokersUnavailable, TimeoutError) as error:
                self._lag = {}
                self._observer.background_task_failed("lag", error)
            await self._clock.sleep(MEASURED_SECONDS)

    async def _measure_repeatedly(self) -> None:
        admin = AIOKafkaAdminClient(**self._brokers.options())
        async with started(admin.start, admin.close):
            # Not before: the driver complains of one that was never started.
            consumer = AIOKafkaConsumer(enable_auto_commit=False, **self._brokers.options())
            async with started(consumer.start, consumer.stop):
                while True:
                    async with asyncio.timeout(_TIMEOUT_SECONDS):
                        self._lag = await self._measure(admin, consumer)
                    await self._clock.sleep(MEASURED_SECONDS)

    async def _measure(
        self, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer
    ) -> Mapping[tuple[str, int], int]:
        described = await admin.describe_topics([*self._topics])
        partitions = [
            TopicPartition(topic["topic"], partition["partition"])
            for topic in described
            for partition in topic["partitions"]
        ]
        if not partitions:
            return {}
        ends = await consumer.end_offsets(partitions)
        committed = await admin.list_consumer_group_offsets(self._group, partitions=partitions)
        stored = {tp: offset.offset for tp, offset in committed.items() if offset.offset >= 0}
        # Where the group has committed nothing it has everything before it.
        first = await consumer.beginning_offsets([tp for tp in partitions if tp not in stored])
        return {
            (tp.topic, tp.partition): max(0, ends[tp] - {**first, **stored}[tp])
            for tp in partitions
        }
