"""A member of the consumer group, from its joining until it is given up, and what it gives.

While messages are in somebody's hands their partitions are paused and polled all the same, so that
the group does not take the member for dead however long it takes. When partitions are revoked, the
member waits for what is in hand to be stored and committed before it lets go of them.
"""

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError
from attrs import define, field

from notification_core.concurrency.wakeup import Wakeup
from notification_core.errors import BrokersUnavailable
from notification_core.model.message import Message
from notification_core.ports.clock import Clock
from notification_core.ports.event_source import MAX_TAKEN
from notification_core.ports.observer import Observer

WATCH_SECONDS = 5.0
"""How often the group's state is looked at."""

STALL_SECONDS = 120.0
"""How long there may be no sign of progress; a rebalance alone may take half of it."""

_POLL_SECONDS = 1.0
_COMMIT_SECONDS = 10.0
_BROKER_TIMEOUT = 10.0
_REVOKE_SECONDS = 30.0

Records = Mapping[TopicPartition, Sequence[ConsumerRecord[bytes, bytes]]]


@define(eq=False)
class OfferedBatch:
    """Messages that were given, or are about to be.

    ``epoch`` tells in which assignment of partitions they were read. ``done`` is set once nothing
    more is to be done about them here.
    """

    messages: Sequence[Message]
    epoch: object
    done: asyncio.Event = field(factory=asyncio.Event)

    async def done_within(self, seconds: float) -> bool:
        """Wait for it to be done, at most so long; tell whether it is."""
        try:
            async with asyncio.timeout(seconds):
                await self.done.wait()
        except TimeoutError:
            return False
        return True


class BatchHandover:
    """Where messages are offered, taken, and left again."""

    def __init__(self) -> None:
        self.held: OfferedBatch | None = None
        self._offered: OfferedBatch | None = None
        self._news = asyncio.Event()
        self._stopped = False

    def offer(self, messages: Sequence[Message], epoch: object) -> OfferedBatch:
        """Lay messages out to be taken."""
        self._offered = OfferedBatch(messages, epoch)
        self._news.set()
        return self._offered

    def withdraw(self) -> None:
        """Take back what was offered and nobody has taken."""
        if self._offered:
            self._offered.done.set()
            self._offered = None

    async def take(self) -> Sequence[Message]:
        """Leave what was taken before, and take what is offered next; nothing once stopped."""
        if self.held:
            self.held.done.set()
            self.held = None
        while not self._stopped:
            if self._offered:
                self.held, self._offered = self._offered, None
                return self.held.messages
            self._news.clear()
            await self._news.wait()
        return ()

    def stop(self) -> None:
        """Give nothing more, also to who is waiting."""
        self._stopped = True
        self.withdraw()
        self._news.set()


class GroupMember(ConsumerRebalanceListener):
    """Polls, hands over, commits, and watches itself; :meth:`run` ends only by an error."""

    def __init__(
        self, consumer: AIOKafkaConsumer, handover: BatchHandover, clock: Clock, observer: Observer
    ) -> None:
        self._consumer = consumer
        self._handover = handover
        self._clock = clock
        self._observer = observer
        self._epoch = object()
        self._batch: OfferedBatch | None = None
        self._acknowledged: dict[TopicPartition, int] = {}
        self._joined = False
        self._news = Wakeup(clock)
        self._polled_at = self._progressed_at = clock.monotonic()
        self.lag: Mapping[TopicPartition, int] = {}
        self.problem: str | None = "It has not joined its group yet."

    async def run(self) -> None:
        """Consume until that is no longer possible; raise what stands in the way."""
        tasks = [asyncio.create_task(self._poll()), asyncio.create_task(self._watch())]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def commit(self, messages: Sequence[Message]) -> None:
        """Commit the offsets behind these messages, if their partitions are this member's still."""
        held = self._handover.held
        if held is None or held.epoch is not self._epoch:
            return
        offsets = {
            TopicPartition(message.topic, message.partition): message.offset + 1
            for message in messages
        }
        try:
            async with asyncio.timeout(_COMMIT_SECONDS):  # the driver would wait for ever
                await self._consumer.commit(offsets)
        except (KafkaError, TimeoutError) as error:
            self._observer.background_task_failed("kafka_commit", error)
        else:
            self._acknowledged |= offsets

    # What the group tells.

    async def on_partitions_revoked(self, revoked: object) -> None:  # noqa: ARG002 - all are, always
        """Let what is in hand be stored and committed, for some time, and then go of it."""
        self._handover.withdraw()
        if self._handover.held:
            await self._handover.held.done_within(_REVOKE_SECONDS)
        self._epoch = object()

    def on_partitions_assigned(self, assigned: object) -> None:  # noqa: ARG002 - the consumer knows
        """Look at what there is to do."""
        self._acknowledged = {}
        self._joined = True
        self._news.set()

    # Polling.

    async def _poll(self) -> None:
        while True:
            records = await self._fetch(_POLL_SECONDS)
            messages = [_message(record) for batch in records.values() for record in batch]
            if messages:
                await self._hand_over(messages)

    async def _hand_over(self, messages: Sequence[Message]) -> None:
        """Offer messages, and return once they are done with."""
        self._progressed_at = self._clock.monotonic()
        self._batch = batch = self._handover.offer(messages, self._epoch)
        while not await batch.done_within(_POLL_SECONDS):
            self._consumer.pause(*self._consumer.assignment())
            if await self._fetch(0):
                raise BrokersUnavailable("A paused partition gave messages.")
        self._consumer.resume(*self._consumer.paused())
        self._batch = None
        self._progressed_at = self._clock.monotonic()

    async def _fetch(self, seconds: float) -> Records:
        records: Records = await self._consumer.getmany(
            timeout_ms=int(seconds * 1000), max_records=MAX_TAKEN
        )
        self._polled_at = self._clock.monotonic()
        return records

    # Watching.

    async def _watch(self) -> None:
        while True:
            if self._joined:
                await self._ask_brokers()
            self._check_progress()
            await self._news.wait(WATCH_SECONDS)

    async def _ask_brokers(self) -> None:
        try:
            async with asyncio.timeout(_BROKER_TIMEOUT):
                self.lag = await self._measure_lag()
        except KafkaError as error:
            self.problem = f"The brokers do not answer: {error}"
        except TimeoutError:
            self.problem = f"The brokers do not answer within {_BROKER_TIMEOUT:.0f} s."
        else:
            self.problem = None

    async def _measure_lag(self) -> Mapping[TopicPartition, int]:
        """Return how many messages each partition has that are not stored."""
        assigned = self._consumer.assignment()
        partitions = {
            TopicPartition(topic, partition)
            for topic in self._consumer.subscription()
            for partition in self._consumer.partitions_for_topic(topic) or ()
        }
        # All of them, so that there is a response also where none is assigned.
        ends = await self._consumer.end_offsets(partitions)
        return {
            tp: max(0, ends[tp] - await self._stored_up_to(tp)) for tp in assigned if tp in ends
        }

    async def _stored_up_to(self, tp: TopicPartition) -> int:
        """Return the offset up to which a partition's messages are stored."""
        acknowledged = self._acknowledged.get(tp, 0)
        for message in self._batch.messages if self._batch else ():
            if (message.topic, message.partition) == tp and message.offset >= acknowledged:
                return message.offset
        position: int = await self._consumer.position(tp)
        return position

    def _check_progress(self) -> None:
        """Give up a consumer that has not shown for long that it does what it is there for."""
        now = self._clock.monotonic()
        polls = now - self._polled_at < 2 * WATCH_SECONDS
        if self.problem is None and (self._batch or (polls and not any(self.lag.values()))):
            self._progressed_at = now
        if now - self._progressed_at > STALL_SECONDS:
            raise BrokersUnavailable(
                f"No progress for {STALL_SECONDS:.0f} s: the consumer is restarted."
            )


def _message(record: ConsumerRecord[bytes, bytes]) -> Message:
    return Message(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        record.value,
        record.key,
        tuple(record.headers),
    )
