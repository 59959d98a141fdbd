"""The event source on Kafka: a member of the consumer group, restarted whenever it fails."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer

from notification_adapters.kafka.client import leftovers_of, started
from notification_adapters.kafka.config import MIB, Brokers, ConsumerConfig, Start, milliseconds
from notification_adapters.kafka.group_member import BatchHandover, GroupMember
from notification_adapters.kafka.topics import begin_at_end, ensure_topics
from notification_core.errors import BrokersUnavailable
from notification_core.model.message import Message
from notification_core.ports.clock import Clock
from notification_core.ports.event_source import EventSource
from notification_core.ports.observer import Observer

MAX_POLL_INTERVAL_MS = 300_000
"""A member that does not poll for so long is taken for dead, by its own client."""

_PAUSE_SECONDS = 2.0
_MAX_INT32 = 2**31 - 1


class KafkaSource(EventSource):
    """Gives the messages of the event topics; see :func:`open_source`."""

    def __init__(
        self, brokers: Brokers, config: ConsumerConfig, clock: Clock, observer: Observer
    ) -> None:
        self._brokers = brokers
        self._config = config
        self._clock = clock
        self._observer = observer
        self._handover = BatchHandover()
        self._member: GroupMember | None = None
        self._problem = "It is connecting."

    async def take(self) -> Sequence[Message]:
        """Wait for messages and return some; return none once it was stopped."""
        return await self._handover.take()

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """Commit the offsets of these messages."""
        if self._member:
            await self._member.commit(messages)

    def stop(self) -> None:
        """Give nothing more, also to who is waiting."""
        self._handover.stop()

    async def check(self) -> None:
        """Raise :class:`BrokersUnavailable` where no events come, and say why."""
        problem = self._member.problem if self._member else self._problem
        if problem:
            raise BrokersUnavailable(problem)

    def lag(self) -> Mapping[tuple[str, int], int]:
        """Return how many messages of each of this member's partitions are not stored yet."""
        lag = self._member.lag if self._member else {}
        return {(tp.topic, tp.partition): behind for tp, behind in lag.items()}

    async def run(self) -> None:
        """Be a member of the group, again and again, until cancelled."""
        while True:
            try:
                await self._join()
            except Exception as error:  # noqa: BLE001 - whatever broke this member, the next one may do better
                self._problem = str(error) or type(error).__name__
                self._observer.background_task_failed("kafka", error)
            await self._clock.sleep(_PAUSE_SECONDS)

    async def _join(self) -> None:
        config = self._config
        await ensure_topics(self._brokers, config.topics, config.replication_factor)
        if config.start is Start.LATEST:
            await begin_at_end(self._brokers, config.topics, config.group)
        consumer = AIOKafkaConsumer(**self._brokers.options(), **_options(config))
        async with started(consumer.start, consumer.stop, lambda: leftovers_of(consumer)):
            self._member = GroupMember(consumer, self._handover, self._clock, self._observer)
            consumer.subscribe([*config.topics.sources], listener=self._member)
            try:
                await self._member.run()
            finally:
                self._member = None
                self._handover.withdraw()


@asynccontextmanager
async def open_source(
    brokers: Brokers, config: ConsumerConfig, clock: Clock, observer: Observer
) -> AsyncIterator[KafkaSource]:
    """Join the consumer group, and leave it at the end; waits for no broker.

    Raises :class:`BrokersUnavailable` where the files of its certificates cannot be used.
    """
    brokers.options()
    source = KafkaSource(brokers, config, clock, observer)
    member = asyncio.create_task(source.run())
    try:
        yield source
    finally:
        source.stop()
        member.cancel()
        await asyncio.gather(member, return_exceptions=True)


def _options(config: ConsumerConfig) -> Mapping[str, Any]:
    return {
        "group_id": config.group,
        "enable_auto_commit": False,
        # Also where the group's offset is gone: what is read again is known by its event id.
        "auto_offset_reset": "earliest",
        # What a transaction of the producer has taken back has not happened.
        "isolation_level": "read_committed",
        # A killed member's partitions wait this long; brokers refuse less than 6 s.
        "session_timeout_ms": 10_000,
        # By its next heartbeat a member learns that another one is gone, and it is to take over.
        "heartbeat_interval_ms": 1_000,
        "rebalance_timeout_ms": 60_000,
        "max_poll_interval_ms": MAX_POLL_INTERVAL_MS,
        "metadata_max_age_ms": 60_000,
        "fetch_min_bytes": config.fetch_bytes,
        "fetch_max_wait_ms": milliseconds(config.fetch_wait),
        # A fetch that may not bring more than it waits for would always wait.
        "max_partition_fetch_bytes": min(max(4 * MIB, 2 * config.fetch_bytes), _MAX_INT32),
        "fetch_max_bytes": min(max(16 * MIB, 2 * config.fetch_bytes), _MAX_INT32),
    }
