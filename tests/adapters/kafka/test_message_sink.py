"""What is special to Kafka as a sink: sizes, and unavailable brokers."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from notification_adapters.kafka.config import Brokers
from notification_adapters.kafka.message_sink import KafkaSink
from notification_core.errors import BrokersUnavailable
from notification_core.model.message import Topics
from notification_core.model.outbox_message import OutgoingMessage
from tests.kafka.topics import Kafka

LETTERS = "notification-dead-letters"


@pytest.fixture
async def sink(kafka: Kafka) -> AsyncIterator[KafkaSink]:
    sink = KafkaSink(Brokers(kafka.addresses), Topics(kafka.prefix), 1)
    yield sink
    await sink.close()


def a_letter(kafka: Kafka, value: bytes | None, key: bytes | None = b"k") -> OutgoingMessage:
    return OutgoingMessage(UUID(int=1), kafka.topic(LETTERS), key, value, (("h", b"1"),))


async def test_a_dead_letter_as_large_as_a_message_may_be_arrives_whole(
    kafka: Kafka, sink: KafkaSink
) -> None:
    await kafka.create("job-events", max_message_bytes="3000000")
    large = b"x" * 2_999_900
    await sink.send([a_letter(kafka, large)])
    (arrived,) = await kafka.read(LETTERS, 1)
    assert arrived.value == large


async def test_what_is_too_large_for_its_topic_arrives_without_its_value(
    kafka: Kafka, sink: KafkaSink
) -> None:
    await kafka.create(LETTERS, max_message_bytes="50000")
    messages = [a_letter(kafka, value) for value in (b"before", b"x" * 60_000, b"after")]
    left = messages
    while left:
        left = left[await sink.send(left) :]
    arrived = {one.value: dict(one.headers) for one in await kafka.read(LETTERS, 3)}
    assert arrived.keys() == {b"before", None, b"after"}
    assert arrived[None] == {
        "h": b"1",
        "value-left-out": b"60,000 bytes are more than the topic takes",
    }


async def test_a_message_with_neither_key_nor_value_arrives(kafka: Kafka, sink: KafkaSink) -> None:
    assert await sink.send([a_letter(kafka, None, None)]) == 1
    (arrived,) = await kafka.read(LETTERS, 1)
    assert (arrived.key, arrived.value) == (b"", None)


async def test_without_a_broker_it_says_so() -> None:
    sink = KafkaSink(Brokers(["127.0.0.1:1"]), Topics(), 1)
    with pytest.raises(BrokersUnavailable):
        await sink.send([OutgoingMessage(UUID(int=1), "t", b"k", b"v")])
    await sink.close()
