"""A user's view of Kafka in tests: names of one's own, a producer, and what stands in a topic."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.conn import AIOKafkaConnection, AIOKafkaProtocol
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.structs import ConsumerRecord
from attrs import define, field

from tests.support.waiting import PATIENCE

Headers = Iterable[tuple[str, bytes | None]]


@define
class Kafka:
    """A broker's topics under a prefix and a group that no other test has."""

    brokers: str
    prefix: str = field(factory=lambda: f"t{uuid4().hex[:8]}-")
    group: str = field(factory=lambda: f"g{uuid4().hex[:8]}")
    _producer: AIOKafkaProducer | None = None

    @property
    def addresses(self) -> list[str]:
        """Where the brokers are."""
        return self.brokers.split(",")

    def topic(self, name: str) -> str:
        """Return a topic's full name."""
        return f"{self.prefix}{name}"

    async def create(self, name: str, partitions: int = 1, **configs: str) -> str:
        """Create a topic, and return its full name."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.addresses)
        await admin.start()
        try:
            topic = NewTopic(
                self.topic(name),
                partitions,
                1,
                topic_configs={key.replace("_", "."): value for key, value in configs.items()},
            )
            response = (await admin.create_topics([topic])).to_object()
            assert [each["error_code"] for each in response["topic_errors"]] == [0], response
        finally:
            await admin.close()
        return self.topic(name)

    async def delete(self, name: str) -> None:
        """Delete a topic."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.addresses)
        await admin.start()
        try:
            await admin.delete_topics([self.topic(name)])
        finally:
            await admin.close()

    async def exists(self, name: str) -> bool:
        """Tell whether there is a topic of this name."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.addresses)
        await admin.start()
        try:
            return self.topic(name) in await admin.list_topics()
        finally:
            await admin.close()

    async def send(
        self,
        name: str,
        *values: bytes | None,
        partition: int | None = None,
        key: bytes | None = None,
        headers: Headers = (),
    ) -> Sequence[int]:
        """Send messages, and return their offsets once they are acknowledged."""
        producer = await self._started_producer()
        sent = [
            await producer.send(
                self.topic(name), value, key=key, partition=partition, headers=list(headers)
            )
            for value in values
        ]
        return [each.offset for each in await asyncio.gather(*sent)]

    async def read(self, name: str, count: int) -> Sequence[ConsumerRecord[bytes, bytes]]:
        """Return the topic's first messages once there are so many, however they are cut."""
        found: list[ConsumerRecord[bytes, bytes]] = []
        async with self._reader(name) as consumer:
            async with asyncio.timeout(PATIENCE):
                while len(found) < count:
                    for records in (await consumer.getmany(timeout_ms=200)).values():
                        found += records
        return found

    async def count(self, name: str) -> int:
        """Return how many messages a topic has."""
        async with self._reader(name) as consumer:
            return sum((await consumer.end_offsets(consumer.assignment())).values())

    async def committed(self, name: str) -> Mapping[int, int]:
        """Return what the group has committed, by partition."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.addresses)
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(self.group)
        except GroupCoordinatorNotAvailableError:  # the first one of a broker's life takes time
            offsets = {}
        finally:
            await admin.close()
        return {
            tp.partition: at.offset for tp, at in offsets.items() if tp.topic == self.topic(name)
        }

    async def group_state(self) -> str:
        """Return what the group does just now, as Kafka calls it."""
        return str((await self._group())["state"])

    async def members(self) -> int:
        """Return how many members share the group's partitions; none while they divide them."""
        group = await self._group()
        return len(group["members"]) if group["state"] == "Stable" else 0

    async def _group(self) -> Mapping[str, Any]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.addresses)
        await admin.start()
        try:
            (response,) = await admin.describe_consumer_groups([self.group])
        finally:
            await admin.close()
        group: Mapping[str, Any] = response.to_object()["groups"][0]
        return group

    async def close(self) -> None:
        """Close the producer."""
        if self._producer:
            await self._producer.stop()

    async def _started_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                bootstrap_servers=self.addresses,
                enable_idempotence=True,
                max_request_size=2**26,
            )
            await self._producer.start()
        return self._producer

    @asynccontextmanager
    async def _reader(self, name: str) -> AsyncIterator[AIOKafkaConsumer]:
        # Without a group it is assigned all partitions of the topic.
        consumer = AIOKafkaConsumer(
            self.topic(name),
            bootstrap_servers=self.addresses,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()


@asynccontextmanager
async def topics_on(addresses: str) -> AsyncIterator[Kafka]:
    """Give topics and a group that nobody else has on the brokers at these addresses."""
    kafka = Kafka(addresses)
    try:
        yield kafka
    finally:
        await kafka.close()
        _close_what_the_driver_forgot()
        await asyncio.sleep(0)


def _close_what_the_driver_forgot() -> None:
    """Close connections that the driver lost sight of: stopped while opening one, it forgets it.

    Left to the garbage collector, they would fail whichever test runs by then. A connection that
    is closed with bytes left for a broker that hangs waits for it: its transport does not.
    """
    for each in gc.get_objects():
        if type(each) is AIOKafkaConnection and each.connected():
            each.close()
        elif type(each) is AIOKafkaProtocol and (transport := getattr(each, "_transport", None)):
            transport.abort()
