"""What a sink of messages promises."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Protocol
from uuid import UUID

import pytest
from attrs import define

from notification_adapters.kafka.config import Brokers
from notification_adapters.kafka.message_sink import KafkaSink
from notification_adapters.memory import MemorySink
from notification_core.model.message import Headers, Topics
from notification_core.model.outbox_message import OutgoingMessage
from notification_core.ports.message_sink import MessageSink
from tests.kafka.topics import Kafka, topics_on

Sent = tuple[bytes | None, bytes | None, Headers]


class Stage(Protocol):
    """A sink, and a look at what has come out of it."""

    sink: MessageSink

    @abstractmethod
    def topic(self) -> str:
        """Return the name of a topic."""

    @abstractmethod
    async def arrived(self, count: int) -> Sequence[Sent]:
        """Return what stands in the topic once there is so much."""


@define
class InMemory(Stage):
    sink: MemorySink

    def topic(self) -> str:
        return "webhook-events"

    async def arrived(self, count: int) -> Sequence[Sent]:
        sent = [(one.key, one.value, one.headers) for one in self.sink.sent]
        assert len(sent) >= count
        return sent


@define
class OnKafka(Stage):
    sink: KafkaSink
    kafka: Kafka

    def topic(self) -> str:
        return self.kafka.topic("webhook-events")

    async def arrived(self, count: int) -> Sequence[Sent]:
        records = await self.kafka.read("webhook-events", count)
        return [(one.key, one.value, tuple(one.headers)) for one in records]


@pytest.fixture(params=["memory", "kafka"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """Every sink in turn."""
    if request.param == "memory":
        yield InMemory(MemorySink())
        return
    async with topics_on(request.getfixturevalue("broker").server.address) as kafka:
        sink = KafkaSink(Brokers(kafka.addresses), Topics(kafka.prefix), 1)
        yield OnKafka(sink, kafka)
        await sink.close()


def message(
    stage: Stage,
    number: int,
    key: bytes | None = b"key",
    value: bytes | None = b"value",
    headers: Headers = (),
) -> OutgoingMessage:
    return OutgoingMessage(UUID(int=number), stage.topic(), key, value, headers)


async def test_messages_arrive_as_they_are_and_in_their_order(stage: Stage) -> None:
    headers: Headers = (("a", b"\xff"), ("a", b""), ("n", None), ("é", b"1"))
    messages = [
        message(stage, 1, b"\x00", b"\xff", headers),
        message(stage, 2, b"k", None),
        message(stage, 3, None, b""),
        *(message(stage, number, value=b"%d" % number) for number in range(4, 500)),
    ]
    assert await stage.sink.send(messages) == len(messages)
    arrived = await stage.arrived(len(messages))
    assert arrived == [(one.key, one.value, one.headers) for one in messages]


async def test_sending_nothing_sends_nothing(stage: Stage) -> None:
    assert await stage.sink.send([]) == 0
    assert await stage.sink.send([message(stage, 1)]) == 1
    assert len(await stage.arrived(1)) == 1


async def test_it_can_be_closed_and_closed_again(stage: Stage) -> None:
    await stage.sink.send([message(stage, 1)])
    await stage.sink.close()
    await stage.sink.close()
